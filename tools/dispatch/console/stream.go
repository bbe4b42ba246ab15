package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Figures of an event stream.
const (
	streamBatch  = 256              // changes read at once
	writeLimit   = 10 * time.Second // a browser that takes nothing for so long is cut off; it comes back and resumes
	rosterEvery  = time.Second
	streamRetry  = 1000 // milliseconds until the browser tries again
	maxStreamAge = time.Hour
)

// getEvents is the event stream: "alarm" and "test" with an id, in the ledger's order, from Last-Event-ID or ?after= on; "stations"
// without one, each time they have changed and every 10 s. Nothing is queued per browser: each reads the ledger's feed at its
// own pace, so a slow one loses nothing and costs no memory. One that names a position of another ledger, as after a backup
// was restored, gets "reset" instead: it has to read everything anew. A stream ends after an hour, to check the session anew.
func (c *Console) getEvents(w http.ResponseWriter, r *http.Request, _ person) {
	after, err := resumeFrom(r)
	if err != nil {
		problem(w, http.StatusBadRequest, "request", err.Error())
		return
	}
	if !c.admitBrowser() {
		problem(w, http.StatusServiceUnavailable, "browsers", fmt.Sprintf("%d browsers are connected, more are not served", maxBrowsers))
		return
	}
	defer c.dismissBrowser()
	known, err := c.o.Ledger.Gave(r.Context(), after)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxStreamAge)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if !known {
		fmt.Fprint(w, "event: reset\ndata: {}\n\n") // a browser that is gone needs no answer
		return
	}
	s := &stream{Console: c, w: w, ctl: http.NewResponseController(w), after: after}
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		c.o.Log.Warn("event stream ended", "remote", r.RemoteAddr, "err", err)
	}
}

func resumeFrom(r *http.Request) (int64, error) {
	s := r.Header.Get("Last-Event-ID")
	if s == "" {
		s = r.FormValue("after")
	}
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New("Last-Event-ID: want a number that this console gave")
	}
	return n, nil
}

func (c *Console) admitBrowser() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.browsers >= maxBrowsers {
		return false
	}
	c.browsers++
	return true
}

func (c *Console) dismissBrowser() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.browsers--
}

// stream writes to one browser.
type stream struct {
	*Console
	w     http.ResponseWriter
	ctl   *http.ResponseController
	after int64
	told  string // the roster that the browser has, but for its ages
	when  time.Time
}

func (s *stream) run(ctx context.Context) error {
	stirred, stop := s.o.Ledger.Watch()
	defer stop()
	// ReadTimeout is for the request; a stream lives on.
	if err := s.ctl.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting the read deadline: %w", err)
	}
	if err := s.write(fmt.Sprintf("retry: %d\n\n", streamRetry)); err != nil {
		return err
	}
	tick := time.NewTicker(rosterEvery)
	defer tick.Stop()
	for {
		if err := s.follow(ctx); err != nil {
			return err
		}
		if err := s.roster(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-stirred:
		case <-tick.C:
		}
	}
}

// follow tells what the feed has beyond the browser's position.
func (s *stream) follow(ctx context.Context) error {
	for {
		changes, next, err := s.o.Ledger.Follow(ctx, s.after, streamBatch)
		if err != nil {
			return err
		}
		if next == s.after {
			return nil
		}
		v, err := s.villages(ctx)
		if err != nil {
			return err
		}
		var out []byte
		for _, c := range changes {
			name, word := "alarm", any(nil)
			if c.Test != nil {
				name, word = "test", v.test(*c.Test)
			} else {
				word = v.alarm(c.Alarm)
			}
			b, err := json.Marshal(word)
			if err != nil {
				return fmt.Errorf("encoding %s %d of the feed: %w", name, c.Feed, err)
			}
			out = fmt.Appendf(out, "event: %s\nid: %d\ndata: %s\n\n", name, c.Feed, b)
		}
		if err := s.write(string(out)); err != nil {
			return err
		}
		s.after = next
	}
}

// roster tells the stations when something about them other than their age has changed, and every 10 s in any case.
func (s *stream) roster(ctx context.Context) error {
	if time.Since(s.when) < rosterEvery {
		return nil
	}
	v, err := s.rosterNow(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the stations: %w", err)
	}
	ageless := v
	ageless.Now = time.Time{}
	ageless.Stations = append([]stationView(nil), v.Stations...)
	for i := range ageless.Stations {
		ageless.Stations[i].Age = 0
	}
	key, err := json.Marshal(ageless)
	if err != nil {
		return fmt.Errorf("encoding the stations: %w", err)
	}
	if string(key) == s.told && time.Since(s.when) < 10*rosterEvery {
		return nil
	}
	s.told, s.when = string(key), time.Now()
	return s.write("event: stations\ndata: " + string(b) + "\n\n")
}

func (s *stream) write(text string) error {
	if err := s.ctl.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("setting a write deadline: %w", err)
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("writing to the browser: %w", err)
	}
	if err := s.ctl.Flush(); err != nil {
		return fmt.Errorf("writing to the browser: %w", err)
	}
	return nil
}
