package sender

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"watchpost/drivers/contactid"
	"watchpost/drivers/dc09"
	"watchpost/storage/event"
)

// Transports to a receiving centre.
const (
	TransportTLS      = "tls"       // the wide area: DC-09's own encryption is malleable and can be replayed
	TransportTCPLocal = "tcp-local" // the loopback, or an address of a private or link-local network
)

// Queue is the station's events as one sender needs them: those that are Wanted, in the order in which they happened. An alarm does not
// overtake here: a receiving centre takes what comes last for what holds.
type Queue interface {
	// Next is the first event, by its seq, that was not Done yet; false: there is none now.
	Next() (event.Event, bool, error)
	// Done keeps on disk that an event needs to be sent no more. After an error, too, Next goes on behind it; it is the next run
	// that may find it again.
	Done(event.Event) error
	// Wake is closed when there may be more. Taken before Next and waited on after it, it misses nothing.
	Wake() <-chan struct{}
}

// Memo keeps on disk what a repeat must have in common with the message that it repeats.
type Memo interface {
	// Load is what was saved last; nil: nothing was.
	Load() ([]byte, error)
	// Save replaces it, on disk before it returns nil.
	Save([]byte) error
}

// Options are what a sender needs. Zero values of numbers are the defaults in brackets.
type Options struct {
	ID        string // of the receiving centre, as the station calls it
	Address   string // HOST:PORT
	Transport string // a Transport… constant

	// CA holds who may vouch for a TLS receiver, in PEM; Cert and PrivateKey, if given, say who the station is. They are paths,
	// read for each connection, so that they may come later.
	CA, Cert, PrivateKey string

	Account  string // 3 to 16 hex digits
	Receiver string // up to 6 hex digits; "" leaves it out
	Line     string // 1 to 6 hex digits ["0"]
	Key      *dc09.Key
	Format   string   // a Format… constant [FormatSIA]
	Events   []string // classes that it is sent: alarm, openclose, trouble, bypass, access, test [alarm, openclose, trouble, test]
	Names    Directory

	// Supervision is how long the link may be quiet before a NULL is sent; negative: never [60 s].
	Supervision time.Duration
	// Answer is how long an answer may take before the message is sent again [5 s], Tries how often before the link is given up [3].
	Answer time.Duration
	Tries  int
	// Window bounds how far the time of an encrypted answer may be off the receiver's clock as the sender knows it [60 s].
	Window time.Duration
	// BackOff is the first wait before connecting again [1 s], and MaxBackOff the longest [60 s].
	BackOff, MaxBackOff time.Duration
	// Pause is the wait before what the receiver would not take is tried again [5 s].
	Pause time.Duration
	// TellEvery is how often the same trouble with answers is told again, with its count [1 min].
	TellEvery time.Duration

	Queue Queue
	Memo  Memo
	Log   *slog.Logger     // nil is silence
	Now   func() time.Time // [time.Now]
	Rand  io.Reader        // of the pads [crypto/rand]
}

// complete fills in the defaults and complains of what cannot be.
func (o Options) complete() (Options, error) {
	o.Line, o.Format = cmp.Or(o.Line, "0"), cmp.Or(o.Format, FormatSIA)
	o.Supervision, o.Answer, o.Window = cmp.Or(o.Supervision, time.Minute), cmp.Or(o.Answer, 5*time.Second), cmp.Or(o.Window, time.Minute)
	o.Tries, o.Pause, o.TellEvery = cmp.Or(o.Tries, 3), cmp.Or(o.Pause, 5*time.Second), cmp.Or(o.TellEvery, time.Minute)
	o.BackOff, o.MaxBackOff = cmp.Or(o.BackOff, time.Second), cmp.Or(o.MaxBackOff, time.Minute)
	if o.Events == nil {
		o.Events = DefaultClasses()
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
	return o, o.check()
}

// Classes are the words of Options.Events.
func Classes() []string {
	return []string{
		string(contactid.ClassAlarm), string(contactid.ClassOpenClose), string(contactid.ClassTrouble), string(contactid.ClassBypass),
		string(contactid.ClassAccess), string(contactid.ClassTest),
	}
}

// DefaultClasses are what a receiver is sent that does not say what it wants.
func DefaultClasses() []string {
	return []string{string(contactid.ClassAlarm), string(contactid.ClassOpenClose), string(contactid.ClassTrouble), string(contactid.ClassTest)}
}

func (o Options) check() error {
	if o.ID == "" || len(o.source()) > event.MaxName {
		return fmt.Errorf("a receiver's id has 1 to %d bytes", event.MaxName-len(sourcePrefix))
	}
	if o.Queue == nil || o.Memo == nil {
		return errors.New("a sender needs a queue and a memo")
	}
	switch o.Transport {
	case TransportTLS:
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			return fmt.Errorf("receiver's address: %w", err)
		}
	case TransportTCPLocal:
		if err := Local(o.Address); err != nil {
			return err
		}
	default:
		return fmt.Errorf("transport %q: want %s or %s", o.Transport, TransportTLS, TransportTCPLocal)
	}
	switch {
	case !isHex(o.Account, 3, 16):
		return fmt.Errorf("account %q: want 3 to 16 hex digits", o.Account)
	case !isHex(o.Line, 1, 6) || !isHex(o.Receiver, 0, 6):
		return errors.New("receiver and line have up to 6 hex digits")
	case o.Format != FormatSIA && o.Format != FormatCID:
		return fmt.Errorf("format %q: want %s or %s", o.Format, FormatSIA, FormatCID)
	case min(o.Answer, o.Window, o.BackOff, o.Pause, o.TellEvery) <= 0 || o.Tries < 1 || o.MaxBackOff < o.BackOff:
		return errors.New("no time may be negative, nor the longest wait below the first")
	}
	for _, class := range o.Events {
		if !slices.Contains(Classes(), class) {
			return fmt.Errorf("events: %q is none of %q", class, Classes())
		}
	}
	return nil
}

// Local complains of an address that is not on the station's own networks: what is not encrypted by TLS goes no further.
func Local(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: a local receiver is named by its IP address and port, such as 127.0.0.1:5093", address)
	}
	if ip := at.Addr().Unmap(); !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() {
		return fmt.Errorf("%s is not on the loopback or a private network: DC-09 crosses the wide area in TLS only", ip)
	}
	return nil
}

func isHex(s string, least, most int) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}

// sourcePrefix and the id are the Source of what the sender says of itself.
const sourcePrefix = "receiver/"

func (o Options) source() string { return sourcePrefix + o.ID }
