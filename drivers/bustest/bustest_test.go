package bustest

import (
	"context"
	"testing"

	"watchpost/drivers/bus"
)

func TestBox(t *testing.T) {
	Lines(t, func(t *testing.T) Bench {
		b := NewBox("door", "panic", "siren")
		return Bench{Lines: b, Drive: b.Drive, Cut: func() { b.Cut("the test cut it") }, Mend: b.Mend}
	})
}

// TestBoxLoses holds the one thing that a Box can do and a bench need not: an edge that vanishes on a living wire.
func TestBoxLoses(t *testing.T) {
	b := NewBox("door")
	e := listen(t, Bench{Lines: b}, "door")
	e.want("door", bus.Present, false)
	b.Lose("door", 3)
	b.Drive("door", false)
	if w := e.want("door", bus.Changed, false); w.Lost != 3 || w.LineSeq != 4 {
		t.Errorf("%+v: want 3 lost before edge 4", w)
	}
	if got, err := b.Read(context.Background(), "door"); err != nil || got {
		t.Errorf("Read = %v, %v", got, err)
	}
}
