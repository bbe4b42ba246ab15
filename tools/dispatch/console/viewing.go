package console

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// roleDispatcher is the one role until there is an identity system.
const roleDispatcher = "dispatcher"

// maxPurpose is the longest purpose, in bytes.
const maxPurpose = 200

// viewingView is a live viewing as others get to see it: who watches what, and why.
type viewingView struct {
	ID      string    `json:"id"`
	Station string    `json:"station"`
	Camera  string    `json:"camera"`
	Profile string    `json:"profile"`
	Purpose string    `json:"purpose"`
	Who     string    `json:"who"`
	Began   time.Time `json:"began"`
}

func viewingViews(vs []ledger.Viewing) []viewingView {
	out := make([]viewingView, 0, len(vs))
	for _, v := range vs {
		out = append(out, viewingView{v.ID, v.Station, v.Camera, v.Profile, v.Purpose, v.Who, v.Began})
	}
	return out
}

func (c *Console) getViewings(w http.ResponseWriter, r *http.Request, _ person) {
	live, err := c.o.Ledger.Live(r.Context())
	if err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, viewingViews(live))
}

// postViewing asks a station for a picture: {station, camera, profile, purpose, offer} → {id, answer}. It is on record before
// the station is asked.
func (c *Console) postViewing(w http.ResponseWriter, r *http.Request, p person) {
	var in struct{ Station, Camera, Profile, Purpose, Offer string }
	if !decode(w, r, &in) {
		return
	}
	in.Purpose = strings.TrimSpace(in.Purpose)
	if in.Purpose == "" || len(in.Purpose) > maxPurpose {
		problem(w, http.StatusBadRequest, "purpose", fmt.Sprintf("say what the picture is for, in at most %d bytes", maxPurpose))
		return
	}
	if in.Camera == "" || in.Offer == "" || in.Profile != "main" && in.Profile != "sub" {
		problem(w, http.StatusBadRequest, "request", "camera, offer and a profile main or sub are needed")
		return
	}
	address, err := c.o.Ledger.StationOf(r.Context(), in.Station)
	if errors.Is(err, ledger.ErrNotFound) {
		problem(w, http.StatusNotFound, "unknown_station", err.Error())
		return
	}
	if err != nil {
		c.fail(w, r, err)
		return
	}
	v := ledger.Viewing{
		ID: newViewingID(), Station: in.Station, Camera: in.Camera, Profile: in.Profile,
		Purpose: in.Purpose, Who: p.name, Asked: time.Now(),
	}
	if err := c.o.Ledger.Ask(r.Context(), v); err != nil {
		c.fail(w, r, err)
		return
	}
	sdp, err := c.openViewing(r.Context(), address, v, in.Offer)
	// The record is kept even when the browser has gone.
	record := context.WithoutCancel(r.Context())
	if err != nil {
		kind, message := refusalOf(err)
		if errors.Is(err, intake.ErrSilent) {
			c.close(v) // it may have been opened all the same
		}
		if err := c.o.Ledger.Ended(record, v.ID, kind, time.Now()); err != nil {
			c.o.Log.Error("recording a refused viewing", "viewing", v.ID, "err", err)
		}
		problem(w, http.StatusBadGateway, kind, message)
		return
	}
	if err := c.o.Ledger.Began(record, v.ID, time.Now()); err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, map[string]string{"id": v.ID, "answer": sdp})
}

func (c *Console) openViewing(ctx context.Context, a topic.Address, v ledger.Viewing, offer string) (sdp string, err error) {
	reply, err := c.o.Asker.Ask(ctx, a, topic.CommandViewingOpen, topic.ViewingOpen{
		Viewing: v.ID, Camera: v.Camera, Profile: v.Profile, Purpose: v.Purpose, Who: v.Who, Role: roleDispatcher, Offer: offer,
	}, viewingAnswer)
	if err != nil {
		return "", err
	}
	var body topic.ViewingAnswer
	if err := json.Unmarshal(reply.Body, &body); err != nil {
		return "", fmt.Errorf("reading the station's answer: %w", err)
	}
	if body.Viewing != v.ID || body.Answer == "" {
		return "", errors.New("the station's answer is not for this viewing")
	}
	return body.Answer, nil
}

// refusalOf names why there is no picture.
func refusalOf(err error) (kind, message string) {
	var p *topic.Problem
	switch {
	case errors.As(err, &p):
		return p.Kind, p.Message
	case errors.Is(err, intake.ErrSilent):
		return "silent", err.Error()
	default:
		return "centre", err.Error()
	}
}

// deleteViewing ends one's own viewing.
func (c *Console) deleteViewing(w http.ResponseWriter, r *http.Request, p person) {
	v, err := c.o.Ledger.Viewing(r.Context(), r.PathValue("id"))
	if errors.Is(err, ledger.ErrNotFound) || err == nil && v.Who != p.name {
		problem(w, http.StatusNotFound, "unknown_viewing", "no viewing of yours has that id")
		return
	}
	if err != nil {
		c.fail(w, r, err)
		return
	}
	ctx := context.WithoutCancel(r.Context()) // the page may be closing
	if err := c.o.Ledger.Ended(ctx, v.ID, "closed", time.Now()); err != nil {
		c.fail(w, r, err)
		return
	}
	c.close(v)
	w.WriteHeader(http.StatusNoContent)
}

// close has the station end a viewing; nobody waits for it.
func (c *Console) close(v ledger.Viewing) {
	select {
	case c.closings <- v:
	default:
		c.o.Log.Warn("closing a viewing at its station: too many at once; the station ends it by itself", "viewing", v.ID, "station", v.Station)
	}
}

// closeViewings tells stations which viewings have ended, until ctx ends.
func (c *Console) closeViewings(ctx context.Context) {
	var g errgroup.Group
	defer g.Wait()
	g.SetLimit(maxClosings)
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-c.closings:
			g.Go(func() error {
				address, err := c.o.Ledger.StationOf(ctx, v.Station)
				if err == nil {
					_, err = c.o.Asker.Ask(ctx, address, topic.CommandViewingClose, topic.ViewingClose{Viewing: v.ID, Who: v.Who, Reason: "closed by the viewer"}, viewingAnswer)
				}
				if err != nil && ctx.Err() == nil {
					c.o.Log.Warn("closing a viewing at its station", "viewing", v.ID, "station", v.Station, "err", err)
				}
				return nil
			})
		}
	}
}

func newViewingID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, by crypto/rand's contract
	return hex.EncodeToString(b[:])
}
