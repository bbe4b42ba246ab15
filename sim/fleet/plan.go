package fleet

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Faults is a set of what may go wrong in a World.
type Faults uint32

// The faults. Each is drawn from dice of its own, so that leaving one out leaves the others as they are.
const (
	FaultLink    Faults = 1 << iota // links come and go
	FaultHole                       // a link swallows everything for a while, both ways
	FaultLine                       // lines are slow and their delay varies
	FaultReceipt                    // receipts are lost, late, doubled or overtaken
	FaultDeny                       // the broker acknowledges and drops what a station publishes: a wrong permission
	FaultFull                       // the broker acknowledges and drops the newest while the centre is slow: a full queue
	FaultOrder                      // the broker delivers again and out of order, as JetStream does
	FaultBroker                     // the broker is killed and started again, with nothing in it
	FaultCentre                     // the centre is killed between messages and commits
	FaultRestore                    // the centre comes back from an older snapshot
	FaultAway                       // one centre is away for most of the time
	FaultAgent                      // the agent is killed; cursors that were not saved yet are forgotten
	FaultWipe                       // the log is set aside whole: a new epoch begins and says so
	FaultEvict                      // lanes are bounded so tightly that events are evicted
	FaultClock                      // the station's wall clock jumps by an hour, or to 1970

	AllFaults = FaultClock<<1 - 1
)

// String names the faults of the set.
func (f Faults) String() string {
	words := [...]string{"link", "hole", "line", "receipt", "deny", "full", "order", "broker", "centre", "restore", "away", "agent", "wipe", "evict", "clock"}
	var list []string
	for i, w := range words {
		if f&(1<<i) != 0 {
			list = append(list, w)
		}
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, ",")
}

// Plan is what a World is made of; with its seed it is one history.
type Plan struct {
	Seed     uint64
	Stations int           // 0 = 6
	First    int           // number of the first of them: what a station does depends on its number and the seed alone
	Span     time.Duration // while faults may happen and events come; 0 = a day. Then the faults end and everything must arrive
	Daily    int           // events a station and day; 0 = 2000
	Without  Faults        // what does not go wrong in this world
	Trace    io.Writer     // every step, one to a line; nil = nowhere
}

func (p Plan) withDefaults() Plan {
	if p.Stations <= 0 {
		p.Stations = 6
	}
	if p.Span <= 0 {
		p.Span = 24 * time.Hour
	}
	if p.Daily <= 0 {
		p.Daily = 2000
	}
	p.Without &= AllFaults
	return p
}

// String is the plan as a person would repeat it.
func (p Plan) String() string {
	return fmt.Sprintf("seed %d, %d stations from %d on, %s of %d events a day, with %s", p.Seed, p.Stations, p.First, p.Span, p.Daily, AllFaults&^p.Without)
}

// Summary is what happened in a World.
type Summary struct {
	Hash    string        // SHA-256 of the trace, hex
	Steps   uint64        // lines of the trace
	Ended   time.Duration // when everything had arrived
	Verdict string        // of storagetest.Check, in one line

	Events, Evicted            int // at the stations
	Links, Kills, Epochs       int // links made, agents killed, epochs that began after the first
	Frames, Published          int // sent by the stations, and events in them
	Dropped                    int // frames that a broker acknowledged and dropped
	Hits                       int // kills of agents, brokers and centres that hit frames without PUBACK or commit
	Stored, Duplicates, Gaps   int // verdicts of the chain rule at the centres, in frames
	Receipts, ReceiptsLost     int
	Crashes, Restores          int // of centres
	Stalls, Resumes, AskedOver int // reports of outboxes
}

// String is the summary for people, a few lines of it.
func (s Summary) String() string {
	return fmt.Sprintf(`%d events, %d evicted, %d links, %d agents killed, %d new epochs
%d frames with %d events published, %d acknowledged and dropped, %d kills hit frames under way
%d frames stored, %d repeats, %d gaps; %d receipts, %d lost; %d centres killed, %d restored
%d stalls told, %d resumed, %d times asked again
%s
everything had arrived after %s; %d steps, trace %s`,
		s.Events, s.Evicted, s.Links, s.Kills, s.Epochs, s.Frames, s.Published, s.Dropped, s.Hits,
		s.Stored, s.Duplicates, s.Gaps, s.Receipts, s.ReceiptsLost, s.Crashes, s.Restores, s.Stalls, s.Resumes, s.AskedOver,
		s.Verdict, s.Ended.Round(time.Second), s.Steps, s.Hash)
}

// Failure is a World in which something happened that must not.
type Failure struct {
	Plan Plan
	What error
	Tail []string // the last steps
}

// Error says what went wrong and how to see it again.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %v\nthe last steps:\n%s", f.Plan, f.What, strings.Join(f.Tail, ""))
}

// Unwrap is what went wrong.
func (f *Failure) Unwrap() error { return f.What }

// Play runs a World to its end. The error is a *Failure, or the trace could not be written.
func Play(p Plan) (Summary, error) { return play(p, defects{}) }

// Shrink looks for the least that still fails like f: fewer faults, fewer stations, a shorter time.
func Shrink(f *Failure) *Failure { return shrink(f, defects{}) }

// defects are bugs planted in a World to show that it finds them.
type defects struct {
	noChain  bool // the centre stores whatever comes
	ackFrees bool // the station takes PUBACK for a receipt
}

func play(p Plan, d defects) (Summary, error) {
	w := newWorld(p.withDefaults(), d)
	what := w.run()
	w.sum.Hash, w.sum.Steps = w.trace.hash(), w.trace.steps
	if what != nil {
		return w.sum, &Failure{Plan: w.plan, What: what, Tail: w.trace.last()}
	}
	if w.trace.err != nil {
		return w.sum, fmt.Errorf("writing the trace: %w", w.trace.err)
	}
	return w.sum, nil
}

func shrink(f *Failure, d defects) *Failure {
	fails := func(p Plan) bool {
		p.Trace = nil
		var again *Failure
		if _, err := play(p, d); errors.As(err, &again) {
			f = again
			return true
		}
		return false
	}
	for i := range AllFaults.count() {
		if p := f.Plan; p.Without&(1<<i) == 0 {
			p.Without |= 1 << i
			fails(p)
		}
	}
	all := f.Plan
	for i := 0; i < all.Stations && f.Plan.Stations > 1; i++ {
		p := f.Plan
		p.First, p.Stations = all.First+i, 1
		fails(p)
	}
	for _, less := range []func(*Plan){
		func(p *Plan) { p.Stations = (p.Stations + 1) / 2 },
		func(p *Plan) { p.Span /= 8 },
		func(p *Plan) { p.Span /= 2 },
		func(p *Plan) { p.Span = p.Span * 3 / 4 },
	} {
		for range 8 {
			p := f.Plan
			if less(&p); p.Span < time.Minute || p.Stations == f.Plan.Stations && p.Span == f.Plan.Span || !fails(p) {
				break
			}
		}
	}
	return f
}

func (f Faults) count() (n int) {
	for ; f != 0; f >>= 1 {
		n++
	}
	return n
}
