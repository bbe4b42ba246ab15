package console

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"watchpost/tools/dispatch/ledger"
)

// Figures of the door.
const (
	cookieName   = "watchpost"
	sessionLife  = 12 * time.Hour // a shift
	failLimit    = 10             // wrong passwords for one name …
	failWithin   = time.Minute    // … in this time; then nobody gets in under that name for as long
	failuresKept = 1000           // names remembered
)

// person is who makes a request.
type person struct {
	name  string
	token []byte
}

// failure counts wrong passwords of one name.
type failure struct {
	count int
	since time.Time
}

// guard sets the rules that hold for every answer, and stops requests that another site made the browser send.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if !localHost(r.Host) {
			problem(w, http.StatusMisdirectedRequest, "host", "this console is reached as localhost, 127.0.0.1 or [::1] only")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !sameSite(r) {
			problem(w, http.StatusForbidden, "cross_site", "the request was made by another site")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// localHost keeps out names that somebody else has pointed at this machine (DNS rebinding).
func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sameSite believes the browser's own word on where a request comes from; a program that is no browser says nothing and is
// let through to the session check.
func sameSite(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// known lets only those in who have a session.
func (c *Console) known(h func(http.ResponseWriter, *http.Request, person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := tokenOf(r)
		if !ok {
			problem(w, http.StatusUnauthorized, "login", "log in first")
			return
		}
		name, err := c.o.Ledger.Session(r.Context(), token, time.Now())
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			problem(w, http.StatusUnauthorized, "login", "the session has ended; log in again")
		case err != nil:
			c.fail(w, r, err)
		default:
			h(w, r, person{name, token})
		}
	}
}

func tokenOf(r *http.Request) ([]byte, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil, false
	}
	token, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	return token, err == nil && len(token) > 0
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name, Password string }
	if !decode(w, r, &in) {
		return
	}
	now := time.Now()
	if len(in.Name) > ledger.MaxPersonName || c.barred(in.Name, now) {
		problem(w, http.StatusTooManyRequests, "barred", "too many wrong passwords; wait a minute")
		return
	}
	token, ok, err := c.o.Ledger.Login(r.Context(), in.Name, in.Password, now, sessionLife)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	if !ok {
		c.countFailure(in.Name, now)
		c.o.Log.Warn("wrong password", "user", in.Name, "remote", r.RemoteAddr)
		problem(w, http.StatusUnauthorized, "password", "name or password is wrong")
		return
	}
	http.SetCookie(w, sessionCookie(base64.RawURLEncoding.EncodeToString(token), int(sessionLife.Seconds())))
	c.o.Log.Info("logged in", "user", in.Name)
	answer(w, map[string]string{"name": in.Name})
}

func sessionCookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

func (c *Console) barred(name string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failures[name]
	return f.count >= failLimit && now.Sub(f.since) < failWithin
}

func (c *Console) countFailure(name string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) >= failuresKept {
		clear(c.failures)
	}
	f := c.failures[name]
	if now.Sub(f.since) >= failWithin {
		f = failure{since: now}
	}
	f.count++
	c.failures[name] = f
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, p person) {
	if err := c.o.Ledger.Logout(r.Context(), p.token); err != nil {
		c.fail(w, r, err)
		return
	}
	http.SetCookie(w, sessionCookie("", -1))
	w.WriteHeader(http.StatusNoContent)
}

func (c *Console) getMe(w http.ResponseWriter, _ *http.Request, p person) {
	answer(w, map[string]string{"name": p.name, "centre": c.name})
}

func (c *Console) getName(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"centre": c.name})
}

// decode reads a request's JSON; on failure it has answered.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		problem(w, http.StatusBadRequest, "request", err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		problem(w, http.StatusInternalServerError, "centre", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b) // a browser that is gone needs no answer
}

// problem answers with an error that the page can name: kind is one of an append-only list.
func problem(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"kind": kind, "message": message}) // as in answer
}

// fail answers a fault of the centre itself; the details go to the log.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	c.o.Log.Error("request failed", "path", r.URL.Path, "err", err)
	problem(w, http.StatusInternalServerError, "centre", "the centre could not do it; its log says why")
}
