// An alarm panel tells its alarms to a receiver in SIA DC-09 frames over TCP or UDP, and repeats each until it is acknowledged.
//
// The codec ([Cut], [Parse], [Frame.Open], [AppendACK] and its siblings) is pure; the [Receiver] is the driver around it.
// Its answers:
//
//	wrong CRC, length or grammar; encrypted and without a time      silence, and a line in the log for each sort of fault
//	encrypted, and its time out of the window                       NAK, with our clock
//	unknown account; wrong key or none; plain where there is a key  DUH, and an event panel.refused once per interval
//	events that the sink did not store                              silence: the panel repeats the frame
//	events stored, supervision, a repeat of either                  ACK
//
// A repeat makes no second event: each event carries a Once key of sequence, time and content, by which the log knows it,
// also after a restart. A panel that stamps no time and numbers all frames 0000 gives nothing to know a repeat by; its
// frames are all taken as new. The key is looked up among the source's last few, and without a time of the panel's own it
// holds for an hour: the same content under the same number is a new event again when the panel's numbers have wrapped
// round, or have begun anew after a power cut. Encrypted frames, which somebody may have recorded, are known for longer than
// the log knows them: the newest 1,024 of each account, more than a panel sends within the window. By them a panel is known, too,
// whose ACK was lost for longer than the window: the repeat gets a NAK, and for two minutes the same number and content under
// a new time is that repeat, and no second event. When the receiver has restarted in between it is one.
//
// A panel that writes its CRC as two bytes gets it back so (as ioBroker.sia answers Lupusec panels).
//
// A hostile panel has a budget: one connection holds at most 16 KiB, its frames wait when they come too fast, and by UDP what
// is over a host's rate, or more than 16 frames of an account before the store, is dropped and comes again.
//
// DC-09 has no authentication: encrypted frames can be bent, and replayed within the window. Listen on the loopback or
// the panel's own wire only.
package dc09

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/storage/event"
)

// Receiver takes the frames of panels, and answers each when its events are stored.
type Receiver struct {
	o        Options
	accounts map[string]*account // by id in capitals
	order    []*account
	refused  *ledger
	nudge    chan struct{} // a supervised panel spoke that was not up

	started   time.Time
	listening atomic.Int32  // sockets that are open
	bad       atomic.Uint64 // frames of wrong CRC, length or grammar
	answers   atomic.Uint64 // ACK, NAK, DUH and RSP received
	faults    sync.Map      // by text: what was wrong with frames
	dropped   atomic.Uint64 // datagrams and connections over a limit, and answers that could not be sent
}

// account is a panel at work.
type account struct {
	Account
	name    string      // of its reading: the id as the configuration spells it
	source  string      // of its events: the id in capitals
	failing atomic.Bool // the last event was not stored

	turn chan struct{} // held by the encrypted frame that is at the store

	mu    sync.Mutex // guards the fields below
	heard time.Time  // of the last frame that was believed; zero: none yet
	link  string     // as told: linkUnknown, linkUp, linkLost
	since time.Time  // of link

	unstamped []unstamped // the newest frames without a time, oldest first
	replays   replays
}

var (
	_ drivers.Driver      = (*Receiver)(nil)
	_ drivers.Prober      = (*Receiver)(nil)
	_ drivers.Snapshotter = (*Receiver)(nil)
)

// New checks the options; it does not listen yet.
func New(o Options) (*Receiver, error) {
	o.defaults()
	for _, a := range []string{o.TCP, o.UDP} {
		if _, _, err := net.SplitHostPort(a); a != "" && err != nil {
			return nil, fmt.Errorf("panel receiver: address %q: want host:port, such as 127.0.0.1:9999: %w", a, err)
		}
	}
	if o.TCP == "" && o.UDP == "" {
		return nil, errors.New("panel receiver: neither a TCP nor a UDP address to listen on")
	}
	r := &Receiver{o: o, accounts: map[string]*account{}, refused: newLedger(), nudge: make(chan struct{}, 1), started: o.Now()}
	for _, a := range o.Accounts {
		id := strings.ToUpper(a.ID)
		switch {
		case len(id) < 3 || len(id) > 16 || !isHex(id):
			return nil, fmt.Errorf("panel account %q: want 3 to 16 hex digits", a.ID)
		case r.accounts[id] != nil:
			return nil, fmt.Errorf("panel account %s is given twice", id)
		case a.Supervision < 0:
			return nil, fmt.Errorf("panel account %s: supervision %s is negative", id, a.Supervision)
		}
		for zone, name := range a.Zones {
			if name == "" || len(name) > event.MaxName {
				return nil, fmt.Errorf("panel account %s, zone %s: a zone name has 1 to %d bytes", id, zone, event.MaxName)
			}
		}
		name := "dc09/" + a.ID
		a.ID = id
		r.accounts[id] = &account{Account: a, name: name, source: "dc09/" + id, turn: make(chan struct{}, 1), link: linkUnknown, since: o.Now()}
		r.order = append(r.order, r.accounts[id])
	}
	return r, nil
}

func (o *Options) defaults() {
	o.Behind = cmp.Or(o.Behind, 40*time.Second)
	o.Ahead = cmp.Or(o.Ahead, 20*time.Second)
	o.Connections = cmp.Or(o.Connections, 256+2*len(o.Accounts))
	o.PerHost = cmp.Or(o.PerHost, (o.Connections+1)/2)
	o.Rate = cmp.Or(o.Rate, 1000)
	o.Idle = cmp.Or(o.Idle, 5*time.Minute)
	o.TellEvery = cmp.Or(o.TellEvery, time.Minute)
	if o.Listening == nil {
		o.Listening = func(net.Addr) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
}

// String names the driver as logs do.
func (r *Receiver) String() string {
	where := []string{}
	if r.o.TCP != "" {
		where = append(where, "tcp "+r.o.TCP)
	}
	if r.o.UDP != "" {
		where = append(where, "udp "+r.o.UDP)
	}
	return "dc09 receiver on " + strings.Join(where, ", ")
}

// Probe tries whether the addresses can be listened on.
func (r *Receiver) Probe(ctx context.Context) drivers.Outcome {
	var lc net.ListenConfig
	if r.o.TCP != "" {
		l, err := lc.Listen(ctx, "tcp", r.o.TCP)
		if err != nil {
			return drivers.Failed(cannotListen("tcp", r.o.TCP, err).Error())
		}
		_ = l.Close()
	}
	if r.o.UDP != "" {
		c, err := lc.ListenPacket(ctx, "udp", r.o.UDP)
		if err != nil {
			return drivers.Failed(cannotListen("udp", r.o.UDP, err).Error())
		}
		_ = c.Close()
	}
	return drivers.Ready()
}

func cannotListen(network, address string, err error) error {
	return fmt.Errorf("listening for panels on %s %s: %w: stop the program that has the port, or name another one", network, address, err)
}

// Run serves panels until ctx ends. An address that cannot be listened on is logged and tried again.
func (r *Receiver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	if r.o.TCP != "" {
		group.Go(func() error {
			return r.keepListening(ctx, "tcp", r.o.TCP, func() error { return r.serveTCP(ctx, sink) })
		})
	}
	if r.o.UDP != "" {
		group.Go(func() error {
			return r.keepListening(ctx, "udp", r.o.UDP, func() error { return r.serveUDP(ctx, sink) })
		})
	}
	group.Go(func() error { return r.superviseLinks(ctx, sink) })
	group.Go(func() error { return r.tellRefusals(ctx, sink) })
	return group.Wait()
}

// keepListening calls serve again, with growing pauses, whenever it fails.
func (r *Receiver) keepListening(ctx context.Context, network, address string, serve func() error) error {
	const longest = 5 * time.Second
	for pause, told := 100*time.Millisecond, ""; ; pause = min(2*pause, longest) {
		begun := time.Now()
		err := serve()
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > longest { // it listened well for a while
			pause, told = 100*time.Millisecond, ""
		}
		if s := err.Error(); s != told {
			told = s
			r.o.Log.Error("panels cannot reach this station", "error", cannotListen(network, address, err))
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// sockets is how many are to be open.
func (r *Receiver) sockets() int32 {
	n := int32(0)
	for _, a := range []string{r.o.TCP, r.o.UDP} {
		if a != "" {
			n++
		}
	}
	return n
}

// open notes a socket that listens, until the function it gives is called.
func (r *Receiver) open(a net.Addr) (closed func()) {
	r.listening.Add(1)
	r.o.Log.Info("listening for panels", "network", a.Network(), "address", a.String())
	r.o.Listening(a)
	return func() { r.listening.Add(-1) }
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
