package ibutton

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/linesock"
	"watchpost/sim/board"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

// TestRealBox touches a simulated DS1990A to a simulated wire, whose search and codec are its own, behind an I/O box on its
// socket; then the wire is shorted.
func TestRealBox(t *testing.T) {
	keys := wire.NewOneWire()
	b, err := board.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CarryOneWire("gate", keys); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "box")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = b.Serve(ctx, ln) })
	box, err := linesock.New(linesock.Options{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	reader := box.OneWire("gate")
	defer reader.Close()
	code := wire.Code(chip.FamilyDS1990A, 0x1234567)
	d, err := New(Options{Tours: []Tour{{ID: "round", Checkpoints: []Checkpoint{{"gate", "gate", reader}}, Windows: []string{"00:00-24:00"},
		Roster: map[bus.ROM]string{bus.ROM(code): "li"}}}})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan event.Draft, 16)
	wg.Go(func() {
		_ = d.Run(ctx, func(_ context.Context, e event.Draft) error { told <- e; return nil })
	})
	want := func(tag event.Tag, text string) {
		t.Helper()
		select {
		case e := <-told:
			if got, _ := e.Body.Text(tag); got != text {
				t.Fatalf("%+v, want %s", e, text)
			}
		case <-ctx.Done():
			t.Fatalf("nothing told, want %s", text)
		}
	}
	keys.Put(code, chip.DS1990A{})
	want(event.TagWho, "li")
	keys.Put(wire.Code(chip.FamilyDS1990A, 99), chip.DS1990A{})
	want(event.TagState, "stranger")
	keys.Short(true)
	want(event.TagReason, "stuck")
	keys.Short(false)
	want(event.TagState, "up")
}
