package live_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/live"
)

// A panic while a viewing is opened, on an offer that pion does not survive, costs that viewing only: no slot, no lease, no
// hanging stop, and the log knows that nobody looked.
func TestAPanicLeavesNothingBehind(t *testing.T) {
	h := open(t, func(o *live.Options) { o.MaxViewings = 1 })
	h.shelf.panics = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is hidden from who could tell it")
			}
		}()
		_, _ = h.Open(context.Background(), request("v1", newViewer(t).offer()))
	}()
	h.shelf.panics = false
	if d := h.book.next(t); d.Kind != event.KindViewingOpened {
		t.Errorf("told %v", d.Kind)
	}
	if d := h.book.next(t); d.Kind != event.KindViewingClosed || text(d, event.TagReason) != "failed" {
		t.Errorf("told %v", d.Kind)
	}
	if n := h.shelf.open.Load(); n != 0 {
		t.Errorf("%d leases", n)
	}
	h.view(t, "v1")
}

func TestRefusals(t *testing.T) {
	h := open(t, func(o *live.Options) { o.MaxViewings = 1 })
	v := newViewer(t)
	offer := v.offer()
	expect := func(r live.Request, kind string) {
		t.Helper()
		_, err := h.Open(context.Background(), r)
		var refusal *live.Refusal
		if !errors.As(err, &refusal) || refusal.Kind != kind {
			t.Fatalf("want refusal %q, got %v", kind, err)
		}
		for {
			if d := h.book.next(t); d.Kind == event.KindViewingRefused {
				if text(d, event.TagReason) != kind {
					t.Errorf("told as %q", text(d, event.TagReason))
				}
				return
			}
		}
	}
	expect(request("v1", "v=0\r\n"), live.RefusedOffer)
	expect(request("v1", string(make([]byte, 70<<10))), live.RefusedOffer)
	late := request("v1", offer)
	late.Expires = time.Now().Add(-time.Second)
	expect(late, live.RefusedClosed)
	for _, id := range []string{strings.Repeat("v", 300), "V 1", "../v"} {
		r := request("v1", offer)
		r.Viewing = id
		expect(r, live.RefusedPurpose)
	}
	long := request("v1", offer)
	for _, text := range []*string{&long.Camera, &long.Profile, &long.Who, &long.Role, &long.Purpose} {
		*text = strings.Repeat("村", 5000) + "\xff"
	}
	h.shelf.refuse = errors.New(strings.Repeat("口", 5000))
	for _, kind := range []event.Kind{event.KindViewingOpened, event.KindViewingClosed} {
		if kind == event.KindViewingOpened {
			if _, err := h.Open(context.Background(), long); err == nil {
				t.Fatal("opened")
			}
		}
		if d := h.book.next(t); d.Kind != kind || !strings.HasPrefix(d.Source, "camera/村") {
			t.Errorf("told %v of %s, want %v", d.Kind, d.Source, kind)
		}
	}
	h.shelf.refuse = errors.New("no camera gate")
	_, err := h.Open(context.Background(), request("v1", offer))
	var refusal *live.Refusal
	if !errors.As(err, &refusal) || refusal.Kind != live.RefusedCamera {
		t.Fatalf("a camera that is not there: %v", err)
	}
	if d := h.book.next(t); d.Kind != event.KindViewingOpened {
		t.Errorf("told %v", d.Kind)
	}
	if d := h.book.next(t); d.Kind != event.KindViewingClosed || text(d, event.TagReason) != "failed" || text(d, event.TagDetail) != "no camera gate" {
		t.Errorf("told %v %s", d.Kind, text(d, event.TagDetail))
	}
	h.shelf.refuse = nil
	if _, err := h.Open(context.Background(), request("v1", offer)); err != nil {
		t.Fatal(err)
	}
	expect(request("v2", newViewer(t).offer()), live.RefusedQuota)
	h.stop()
	expect(request("v3", newViewer(t).offer()), live.RefusedClosed)
}
