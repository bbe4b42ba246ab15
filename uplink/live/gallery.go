// A viewing is one person's live look at one camera. Nobody looks without a name, a role, a purpose and an
// entry in the log that was on disk before the first packet left.
//
// A [Gallery] holds the viewings of a station. The viewer's browser offers a complete session description, the
// station answers with one, and H.264 goes out over WebRTC as the camera sent it. All viewings of a stream read
// the same ring of ready-cut packets: per viewer there is a new header, encryption and a send, nothing else.
// A viewing begins with the last GOP, so the picture is there at once however seldom the camera sends a whole
// one; it survives the camera's absence and goes on with the next whole picture.
//
// Who may look at what is decided elsewhere, before Open is called.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"watchpost/storage/event"
	"watchpost/storage/ring"
	"watchpost/uplink/topic"
)

// Source gives the streams to look at.
type Source interface {
	// Open asks for a stream; it need not flow yet. An error says that there is no such camera or profile.
	Open(ctx context.Context, camera, profile string) (Stream, error)
}

// Stream is one camera stream in use. Close gives it back.
type Stream interface {
	Ring() *ring.Ring
	Close()
}

// Options of a gallery. Source and Audit must be there.
type Options struct {
	Source Source
	// Audit stores an event; an error means that it is not stored, and then nobody looks.
	Audit func(ctx context.Context, d event.Draft) error
	// Log gets what no event says; default none.
	Log *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// MaxViewings at the same time; default 20. MaxDuration of one; default 30 min.
	MaxViewings int
	MaxDuration time.Duration
	// Idle ends a viewing whose camera has given no picture for so long; default 2 min.
	Idle time.Duration
	// Connect is how long a viewer may take to connect after the answer; default 20 s.
	Connect time.Duration
	// Loopback offers loopback addresses too, for tests and demonstrations on one machine.
	Loopback bool
	// UDPPort carries all viewings; 0 gives each a port of its own.
	UDPPort int
}

// Kinds of refusal. They are visible on the wire and append-only.
const (
	RefusedPurpose   = "purpose"   // id, who, role or purpose is missing or none
	RefusedOffer     = "offer"     // the offer cannot be answered
	RefusedQuota     = "quota"     // too many viewings
	RefusedCamera    = "camera"    // no such camera or profile
	RefusedAudit     = "audit"     // the log does not take the entry
	RefusedDuplicate = "duplicate" // a viewing of this id is open, or was
	RefusedClosed    = "closed"    // the station is stopping, or the viewing's time is over
)

// Refusal is the error of a viewing that was not opened.
type Refusal struct {
	// Kind is one of the Refused words.
	Kind string
	// Err says what is wrong, and what to do.
	Err error

	told bool // the log knows: the viewing was told as opened, and then as closed
}

// Error gives kind and reason.
func (r *Refusal) Error() string { return "viewing refused (" + r.Kind + "): " + r.Err.Error() }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Request asks for a viewing. The caller has made sure that Who may look at Camera.
type Request struct {
	// Viewing names the viewing, Command the command that asked for it; both are topic segments.
	Viewing, Command string
	// Camera and Profile ("main" or "sub") name the stream.
	Camera, Profile string
	// Offer is the viewer's complete session description.
	Offer string
	// Who looks, in which Role, for which Purpose. None may be empty.
	Who, Role, Purpose string
	// Expires is when the viewing ends at the latest; zero leaves it to MaxDuration.
	Expires time.Time
}

// Gallery holds a station's viewings. Its methods may be called from any goroutine.
type Gallery struct {
	options Options
	api     *webrtc.API
	mux     io.Closer // nil when each viewing has a port of its own
	certs   certificates

	mu       sync.Mutex // mu guards the fields below
	running  bool
	stopped  bool
	viewings map[string]*viewing
	tasks    sync.WaitGroup
}

// New prepares a gallery; with UDPPort it opens the port.
func New(o Options) (*Gallery, error) {
	if o.Source == nil || o.Audit == nil {
		return nil, errors.New("a gallery needs a source of streams and an audit log")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxViewings <= 0 {
		o.MaxViewings = 20
	}
	if o.MaxDuration <= 0 {
		o.MaxDuration = 30 * time.Minute
	}
	if o.Idle <= 0 {
		o.Idle = 2 * time.Minute
	}
	if o.Connect <= 0 {
		o.Connect = 20 * time.Second
	}
	api, mux, err := newAPI(o)
	if err != nil {
		return nil, err
	}
	return &Gallery{options: o, api: api, mux: mux, viewings: map[string]*viewing{}}, nil
}

// Run owns the viewings: when ctx ends it refuses new ones, closes all there are, and returns when they are gone.
// It runs once.
func (g *Gallery) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.running {
		g.mu.Unlock()
		return errors.New("the gallery runs already")
	}
	g.running = true
	g.mu.Unlock()

	<-ctx.Done()
	g.mu.Lock()
	g.stopped = true
	for _, v := range g.viewings {
		v.end(endStation)
	}
	g.mu.Unlock()
	g.tasks.Wait()
	if g.mux != nil {
		return g.mux.Close()
	}
	return nil
}

// Open opens a viewing and returns the answer to the offer. The audit event is stored before anything else is
// done for the viewer. A [*Refusal] says why there is no viewing. It has been told: as viewing.refused, or as
// viewing.closed where the opening had been told already; only not where the log itself is the trouble.
func (g *Gallery) Open(ctx context.Context, r Request) (answer string, err error) {
	answer, err = g.open(ctx, r)
	var refusal *Refusal
	if errors.As(err, &refusal) && !refusal.told && refusal.Kind != RefusedAudit {
		d := r.draft(event.KindViewingRefused, event.SeverityNotice, event.Text(event.TagReason, refusal.Kind), event.Text(event.TagDetail, bound(refusal.Err.Error())))
		if aerr := g.options.Audit(ctx, d); aerr != nil {
			g.options.Log.Warn("refusal not stored", "viewing", r.Viewing, "err", aerr)
		}
	}
	return answer, err
}

func (g *Gallery) open(ctx context.Context, r Request) (string, error) {
	if r.Who == "" || r.Role == "" || r.Purpose == "" {
		return "", refuse(RefusedPurpose, "a viewing needs a name, a role and a purpose")
	}
	if err := topic.ValidSegment("viewing", r.Viewing); err != nil {
		return "", &Refusal{Kind: RefusedPurpose, Err: err}
	}
	offer, err := readOffer(r.Offer)
	if err != nil {
		return "", &Refusal{Kind: RefusedOffer, Err: err}
	}
	now := g.options.Now()
	until := now.Add(g.options.MaxDuration)
	if !r.Expires.IsZero() && r.Expires.Before(until) {
		until = r.Expires
	}
	if !until.After(now) {
		return "", refuse(RefusedClosed, "the viewing's time is over: check the clocks")
	}
	v := &viewing{gallery: g, request: r, began: now, until: until, state: "opening"}
	run, err := g.claim(ctx, v)
	if err != nil {
		return "", err
	}
	return g.begin(ctx, run, v, offer)
}

// claim takes a slot for v, and returns the context in which v lives.
func (g *Gallery) claim(ctx context.Context, v *viewing) (context.Context, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return nil, refuse(RefusedClosed, "the station is stopping")
	}
	if _, ok := g.viewings[v.request.Viewing]; ok {
		return nil, refuse(RefusedDuplicate, "viewing %s is open already", v.request.Viewing)
	}
	if len(g.viewings) >= g.options.MaxViewings {
		return nil, refuse(RefusedQuota, "%d viewings are open: close one", len(g.viewings))
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // the viewing outlives the command
	v.cancel = cancel
	g.viewings[v.request.Viewing] = v
	g.tasks.Add(1)
	return ctx, nil
}

// drop gives v's slot back, whether it came to anything or not.
func (g *Gallery) drop(v *viewing) {
	v.end(endNever) // the first reason counts
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.viewings, v.request.Viewing)
	g.tasks.Done()
}

// begin audits, answers, and starts the viewing. What it has taken it gives back on every other way out, a panic included.
func (g *Gallery) begin(ctx, run context.Context, v *viewing, o offer) (answer string, err error) {
	r, audited, started := v.request, false, false
	defer func() {
		if started {
			return
		}
		if audited {
			v.closed(context.WithoutCancel(ctx), ending{endNever, errText(err)})
		}
		g.drop(v)
	}()
	opened := r.draft(event.KindViewingOpened, event.SeverityNotice, event.Text(event.TagCommand, r.Command), event.Int(event.TagExpires, v.until.UnixNano()))
	opened.Once = r.Command
	if err := g.options.Audit(ctx, opened); err != nil {
		return "", &Refusal{Kind: RefusedAudit, Err: fmt.Errorf("the log does not take the entry: %w", err)}
	}
	audited = true
	stream, err := g.options.Source.Open(ctx, r.Camera, r.Profile)
	if err != nil {
		return "", &Refusal{Kind: RefusedCamera, Err: err, told: true}
	}
	defer func() {
		if !started {
			stream.Close()
		}
	}()
	answer, err = v.answer(ctx, stream.Ring(), o)
	if err != nil {
		return "", &Refusal{Kind: RefusedOffer, Err: err, told: true}
	}
	started = true
	g.tasks.Go(func() {
		defer g.drop(v)
		defer stream.Close()
		v.run(run)
	})
	return answer, nil
}

// errText is the reason of a refusal for the log; a panic has none.
func errText(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Err.Error()
	}
	return "the station has a bug here; it is in its log"
}

// Close ends a viewing; false when there is none of this id. why goes into its last event.
func (g *Gallery) Close(viewing, why string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.viewings[viewing]
	if ok {
		v.cancel(ending{endCommand, why})
	}
	return ok
}

// Snapshot lists the viewings open now, in no order.
func (g *Gallery) Snapshot() []Viewing {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Viewing, 0, len(g.viewings))
	for _, v := range g.viewings {
		out = append(out, v.snapshot())
	}
	return out
}

// draft makes an event of this request.
func (r Request) draft(k event.Kind, s event.Severity, fields ...event.Field) event.Draft {
	fields = append(fields, event.Text(event.TagViewing, bound(r.Viewing)), event.Text(event.TagCamera, bound(r.Camera)), event.Text(event.TagProfile, bound(r.Profile)),
		event.Text(event.TagWho, bound(r.Who)), event.Text(event.TagRole, bound(r.Role)), event.Text(event.TagPurpose, bound(r.Purpose)))
	return event.Draft{Kind: k, Qualifier: event.QualifierStatus, Severity: s, Source: source(r.Camera), Body: event.NewBody(fields...)}
}

// source is the camera as the source of events, however long its name is said to be.
func source(camera string) string {
	s := "camera/" + bound(camera)
	return strings.ToValidUTF8(s[:min(len(s), event.MaxName)], "")
}

// bound keeps text from outside within what an event may hold.
func bound(s string) string {
	const most = 500
	out := make([]rune, 0, min(len(s), most))
	for _, r := range s { // what is not UTF-8 becomes U+FFFD
		if len(out) == most {
			break
		}
		out = append(out, r)
	}
	return string(out)
}
