package station

import (
	"os"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/rogpeppe/go-internal/testscript"

	"watchpost/firmware/config"
	"watchpost/storage/ring"
)

// The limit must leave room for every camera's ring, full, or the collector runs without end once they are.
func TestMemoryLimitLeavesRoomForTheRings(t *testing.T) {
	r := ring.New(ring.Limits{Age: time.Hour})
	for range 64 {
		r.Push(ring.Unit{Packets: []*rtp.Packet{{Payload: make([]byte, 1<<20)}}, Key: true})
	}
	full := int64(r.Stats().Bytes)
	for _, n := range []int{0, 1, 8, 64} {
		c := &config.Config{Cameras: make([]config.Camera, n)}
		if spare := memoryLimit(c) - int64(n)*full; spare < 64<<20 {
			t.Errorf("%d cameras: %d bytes are left beside the rings", n, spare)
		}
	}
}

func TestCommand(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// watchpostd runs the agent's Main and keeps its exit code in $code.
			"watchpostd": func(ts *testscript.TestScript, neg bool, args []string) {
				for i, a := range args {
					if _, err := os.Stat(ts.MkAbs(a)); err == nil {
						args[i] = ts.MkAbs(a)
					}
				}
				code := Main(t.Context(), args, ts.Stdout(), ts.Stderr(), Edition{Version: "v-test"})
				if neg == (code == exitOK) {
					ts.Fatalf("exit code %d", code)
				}
			},
		},
	})
}
