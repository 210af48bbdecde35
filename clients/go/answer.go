package rekeyd

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

type verdict int

const (
	// unknown says nothing about the key.
	unknown verdict = iota
	accepted
	refused
)

// An OAuth error is much smaller.
const mostRead = 64 << 10

// verdictOf is refused where the server may have refused the key: 401, or 400 with invalid_client or invalid_request (some servers say that for a signature
// they cannot verify). A 400 with an unknown error counts too: nothing was granted, so asking again is safe. The body can be read as before.
func verdictOf(response *http.Response) verdict {
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return accepted
	case status == http.StatusUnauthorized:
		return refused
	case status == http.StatusBadRequest:
		switch errorOf(response) {
		case nil, "invalid_client", "invalid_request":
			return refused
		}
	}
	return unknown
}

// errorOf is the `error` of the OAuth error body (RFC 6749 section 5.2).
func errorOf(response *http.Response) any {
	start, _ := io.ReadAll(io.LimitReader(response.Body, mostRead))
	response.Body = &peeked{io.MultiReader(bytes.NewReader(start), response.Body), response.Body}
	var body map[string]any
	// A parser may ignore a byte order mark (RFC 8259 section 8.1), and those of other languages do.
	_ = json.Unmarshal(bytes.TrimPrefix(start, []byte("\ufeff")), &body)
	return body["error"]
}

type peeked struct {
	io.Reader
	io.Closer
}

// discard drops an answer that is not read, so that its connection is free again.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, mostRead)
	_ = response.Body.Close()
}
