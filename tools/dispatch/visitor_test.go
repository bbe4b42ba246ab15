package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"
)

// visitor is a person at the console without a browser.
type visitor struct {
	t    *testing.T
	url  string
	http *http.Client
}

// rosterWord is what GET /api/stations says, as far as tests look.
type rosterWord struct {
	Stations []struct {
		ID, Health string
		Backlog    uint64
	}
	Refused []struct {
		Station, Reason string
		Count           uint64
	}
	Broker struct{ Connected bool }
}

func login(t *testing.T, c *centre, name, password string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	v := &visitor{t: t, url: c.http, http: &http.Client{Jar: jar, Timeout: 15 * time.Second, Transport: transport}}
	if status := v.call("POST", "/api/login", map[string]string{"name": name, "password": password}, nil); status != http.StatusOK {
		t.Fatalf("login: status %d", status)
	}
	return v
}

// call makes a request and decodes the answer.
func (v *visitor) call(method, path string, body, into any) int {
	v.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, bytes.NewReader(b))
	if err != nil {
		v.t.Fatal(err)
	}
	res, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			v.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return res.StatusCode
}

func (v *visitor) roster() (r rosterWord) {
	v.t.Helper()
	v.call("GET", "/api/stations", nil, &r)
	return r
}
