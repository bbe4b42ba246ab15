package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"watchpost/firmware/status"
)

// Bounds of one question at the door.
const (
	doorPatience = 15 * time.Second
	maxAnswer    = 4 << 20 // bytes
)

// door is a station's local door, by the path of its socket.
type door struct{ path string }

// refusal is the station's no, in words for people.
type refusal struct{ says string }

// Error is the no with its remedy.
func (r *refusal) Error() string { return r.says }

// get reads what the station says of itself at path.
func (d door) get(ctx context.Context, path string, into any) error {
	_, err := d.ask(ctx, http.MethodGet, path, nil, into)
	return err
}

// wish asks the station to do something; a no is a *refusal.
func (d door) wish(ctx context.Context, path string, v any) (status.Arming, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return status.Arming{}, err
	}
	var then status.Arming
	refused, err := d.ask(ctx, http.MethodPost, path, body, &then)
	if err == nil && refused != nil {
		err = explain(*refused, v)
	}
	return then, err
}

// ask puts one question. What it is refused with is not an error of the door's.
func (d door) ask(ctx context.Context, method, path string, body []byte, into any) (*denied, error) {
	ctx, cancel := context.WithTimeout(ctx, doorPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://station"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.path)
	}}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, d.unreachable(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the station broke off its answer: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("%s answers %s in words that this stationctl does not know: %w; use the one of the station's version", d.path, path, err)
		}
		return nil, nil
	}
	no := denied{status: answer.StatusCode}
	if err := json.Unmarshal(text, &no.Refused); err != nil || no.Reason == "" {
		return nil, fmt.Errorf("%s answers %s with %s: is this stationctl of the station's version?", d.path, path, answer.Status)
	}
	return &no, nil
}

// unreachable says why nobody opened, and what to do.
func (d door) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no station listens at %s: start watchpostd, or name the socket in its data directory: --door DATA/%s", d.path, status.Socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the station behind %s has stopped: start watchpostd", d.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s opens to the station's own user alone: run stationctl as that user, or as root", d.path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the station behind %s did not answer within %s: see its log", d.path, doorPatience)
	}
	return fmt.Errorf("asking the station at %s: %w", d.path, err)
}

// denied is a refusal as the door sends it, with the status of its answer.
type denied struct {
	status.Refused
	status int
}

// explain puts a refusal of the wish v into words, with the way out.
func explain(no denied, v any) error {
	zones := strings.Join(no.Zones, ",")
	switch no.status {
	case http.StatusBadRequest:
		return usageError{errors.New(no.Reason)}
	case http.StatusForbidden:
		return &refusal{"nobody has this code: nothing was done"}
	case http.StatusTooManyRequests:
		return &refusal{fmt.Sprintf("too many wrong codes: none is taken for %s", time.Duration(no.RetryS)*time.Second)}
	case http.StatusServiceUnavailable:
		return fmt.Errorf("the station could not do it: %s; try again, and see its log", no.Reason)
	}
	switch no.Reason {
	case "not-normal":
		if arm, ok := v.(status.Arm); ok {
			return &refusal{fmt.Sprintf("not normal: %s; close them, or leave them out until the next disarming: stationctl arm %s --mode %s --force %s",
				zones, arm.Partition, arm.Mode, strings.Join(slices.Concat(arm.Force, no.Zones), ","))}
		}
		return &refusal{"not normal: " + zones}
	case "no-right":
		if arm, ok := v.(status.Arm); ok && len(arm.Force) > 0 {
			return &refusal{"this code has no right to do that: --force also wants the right bypass; see users in the station's configuration"}
		}
	case "always-on":
		return &refusal{fmt.Sprintf("%s counts at any hour: only an engineer leaves it out, with --hard --for 30m", zones)}
	case "alarm-stands":
		return &refusal{"the cause of an alarm stands yet: " + zones}
	}
	for _, r := range []struct{ reason, says string }{
		{"armed", "the partition is armed: disarm it first"},
		{"alarm", "an alarm runs: disarm the partition first"},
		{"walk-test", "a walk test runs: end it first with stationctl walktest PARTITION --off"},
		{"maintenance", "the station is under test: end that first with stationctl test --station --off"},
		{"no-right", "this code has no right to do that: see rights and partitions of users in the station's configuration"},
	} {
		if r.reason == no.Reason {
			return &refusal{r.says}
		}
	}
	return &refusal{strings.TrimSpace("the station refuses: " + no.Reason + " " + zones)}
}
