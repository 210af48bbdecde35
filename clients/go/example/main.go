// A service that fetches a token and calls an API with it, until it is told to stop.
//
//	export KEYS=/var/lib/rekeyd/keys/185019846023/mcp-auth/4711
//	export TOKEN_URL=https://auth.example.com/oauth/token API_URL=https://api.example.com/
//	go run ./example
//
// It prints how often it called, and what failed. A real service would keep a token until it expires; this one fetches one for each call.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	rekeyd "github.com/OWNER/rekeyd/clients/go"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() (err error) {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	every, err := time.ParseDuration(os.Getenv("EVERY_S") + "s")
	if err != nil {
		every = time.Second
	}
	signer, err := rekeyd.Open(os.Getenv("KEYS"), rekeyd.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, signer.Close()) }()
	endpoint := os.Getenv("TOKEN_URL")
	transport := &rekeyd.Transport{Signer: signer, Endpoint: endpoint, Audience: os.Getenv("AUDIENCE")}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}

	calls, failures := 0, []string{}
	for stopped.Err() == nil {
		calls++
		if err := call(client, endpoint, os.Getenv("API_URL")); err != nil {
			failures = append(failures, err.Error())
		}
		select {
		case <-stopped.Done():
		case <-time.After(every):
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"calls": calls, "failures": failures})
}

func call(client *http.Client, endpoint, api string) error {
	answer, err := client.PostForm(endpoint, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(answer.Body).Decode(&token)
	if err = errors.Join(err, answer.Body.Close(), expectOK(answer)); err != nil {
		return err
	}
	if token.AccessToken == "" {
		return errors.New("the token endpoint answered without an access_token")
	}
	request, err := http.NewRequest(http.MethodGet, api, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	answer, err = client.Do(request)
	if err != nil {
		return err
	}
	return errors.Join(answer.Body.Close(), expectOK(answer))
}

func expectOK(answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", answer.Request.URL, answer.Status)
	}
	return nil
}
