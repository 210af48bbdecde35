package rekeyd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// A token request is much smaller.
const mostForm = 1 << 20

// Transport is an http.RoundTripper that adds a client assertion to each form posted to one endpoint of the OAuth server, and sends it again as
// Signer.Authenticate says. All other requests pass as they are, so an http.Client may use it for the application's own calls too. Where there are several
// endpoints, one Transport is the Base of the next.
type Transport struct {
	Signer *Signer
	// Endpoint is the URL whose requests authenticate, such as the token endpoint's. A query is not compared.
	Endpoint string
	// Audience is the `aud` claim; the Endpoint when empty.
	Audience string
	// Base makes the requests; http.DefaultTransport when nil.
	Base http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip is that of http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !t.isEndpoint(request.URL) {
		return t.base().RoundTrip(request)
	}
	form, err := readForm(request)
	if err != nil {
		return nil, fmt.Errorf("the request to %s cannot carry an assertion: %w", t.Endpoint, err)
	}
	audience := t.Audience
	if audience == "" {
		audience = t.Endpoint
	}
	return t.Signer.Authenticate(Request{Audience: audience}, func(signed Signed) (*http.Response, error) {
		return t.base().RoundTrip(with(request, form, signed))
	})
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) isEndpoint(called *url.URL) bool {
	endpoint, err := url.Parse(t.Endpoint)
	return err == nil && endpoint.Scheme == called.Scheme && endpoint.Host == called.Host && endpoint.Path == called.Path
}

// readForm closes the body, as a RoundTripper has to.
func readForm(request *http.Request) (url.Values, error) {
	if request.Body == nil {
		return nil, errors.New("it has no body")
	}
	defer func() { _ = request.Body.Close() }()
	if kind, _, _ := mime.ParseMediaType(request.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("it is no form, but %q", kind)
	}
	text, err := io.ReadAll(io.LimitReader(request.Body, mostForm+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostForm {
		return nil, fmt.Errorf("it has more than %d bytes", mostForm)
	}
	return url.ParseQuery(string(text))
}

// with makes the request anew: a RoundTripper must not change the one that it is given.
func with(request *http.Request, form url.Values, signed Signed) *http.Request {
	body := url.Values{}
	for _, members := range []url.Values{form, signed.Form()} {
		for name, values := range members {
			body[name] = values
		}
	}
	text := []byte(body.Encode())
	made := request.Clone(request.Context())
	made.ContentLength = int64(len(text))
	made.TransferEncoding = nil
	made.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	made.Body, _ = made.GetBody()
	return made
}
