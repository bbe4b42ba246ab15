package e2e

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/storage/event"
)

// eventBytes is the size of an event's record in the figures about rates, as of the messages that the peers are given.
const eventBytes = 512

// rounds is how often the contenders of a ratio take turns; the ratio's figure is the median of the rounds'.
const rounds = 3

// figureAtLeast is figure for what should not be less than its goal.
func figureAtLeast(name string, value float64, unit string, goal float64) {
	verdict := "ok"
	if value < goal {
		verdict = "short"
	}
	fmt.Printf("figure %s %.3g %s goal >=%g %s\n", name, value, unit, goal, verdict)
}

// fact prints a figure without a goal: what a peer did, or what a ratio was made of.
func fact(name string, value float64, unit string) {
	fmt.Printf("figure %s %.6g %s goal - ok\n", name, value, unit)
}

func median(samples []float64) float64 { return percentile(samples, 50) }

// ratios divides the first contender's samples by the second's, round by round.
func ratios(a, b []float64) []float64 {
	q := make([]float64, len(a))
	for i := range a {
		q[i] = a[i] / b[i]
	}
	return q
}

// settle lets time pass where the passing itself is what is measured.
func settle(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// benchNoise is an event of eventBytes that does not compress.
func benchNoise(random *rand.ChaCha8, severity event.Severity) event.Draft {
	const around = 38 // bytes of a record besides the noise, near enough
	b := make([]byte, eventBytes-around)
	_, _ = random.Read(b) // never fails
	return event.Draft{
		At: time.Now(), Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Source: "bench", Severity: severity,
		Body: event.NewBody(event.Bytes(event.TagBytes, b)),
	}
}

func isBenchNoise(e event.Event) bool { return e.Source == "bench" }

// relay passes connections on to a broker. Shut, it refuses them and cuts those that there are.
type relay struct {
	addr string // where to connect to
	to   string
	look func() (up, down io.Writer) // sees what passes on one connection; nil = nobody looks

	listener net.Listener
	running  sync.WaitGroup
	open     atomic.Bool
	mu       sync.Mutex // guards the field below
	conns    map[net.Conn]bool
}

func newRelay(t testing.TB, to string, look func() (up, down io.Writer)) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), to: to, look: look, listener: l, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.shut()
		r.running.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.pass(in) })
	}
}

// pass serves one connection until either end hangs up.
func (r *relay) pass(in net.Conn) {
	defer func() { _ = in.Close() }()
	if !r.keep(in) {
		return
	}
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	if !r.keep(out) {
		return
	}
	var up, down io.Writer = out, in
	if r.look != nil {
		seeUp, seeDown := r.look()
		up, down = io.MultiWriter(out, seeUp), io.MultiWriter(in, seeDown)
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, in); _ = out.Close() })
	both.Go(func() { _, _ = io.Copy(down, out); _ = in.Close() })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, in)
	delete(r.conns, out)
}

// keep notes a connection that shut would have to cut.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open.Load() {
		r.conns[c] = true
	}
	return r.open.Load()
}

func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open.Store(false)
	for c := range maps.Keys(r.conns) {
		_ = c.Close()
	}
	clear(r.conns)
}

// marks notes which numbers arrived, how often, and whether a first arrival came after that of a higher one.
type marks struct {
	seen              map[int]int
	highest           int
	again, outOfOrder int
}

func (m *marks) add(n int) {
	if m.seen == nil {
		m.seen = map[int]int{}
	}
	if m.seen[n]++; m.seen[n] > 1 {
		m.again++
		return
	}
	if n < m.highest {
		m.outOfOrder++
	}
	m.highest = max(m.highest, n)
}

// missing counts the wanted numbers that never arrived.
func (m *marks) missing(wanted []int) int {
	return len(slices.DeleteFunc(slices.Clone(wanted), func(n int) bool { return m.seen[n] > 0 }))
}
