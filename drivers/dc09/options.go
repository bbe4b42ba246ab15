package dc09

import (
	"io"
	"log/slog"
	"net"
	"time"
)

// Account is one panel that may report here.
type Account struct {
	// ID is the account number of the frame's header, 3 to 16 hex digits, in either case.
	ID string
	// Key decrypts the account's frames; nil: the account sends plain frames. See [KeyHex] and [KeyASCII].
	Key *Key
	// CRCOverCR accepts the CRC and length of Eldes panels, which count the final CR.
	CRCOverCR bool
	// Zones names the station's zone for a zone of the panel; a zone not named is called "<account>/<zone>".
	Zones map[string]string
	// Supervision is the silence after which the panel's link counts as lost; 0: not supervised.
	Supervision time.Duration
}

// Options are what a receiver needs. Zero values of numbers are the defaults in brackets.
type Options struct {
	// TCP and UDP are the addresses to listen on, such as "127.0.0.1:9999"; "" leaves that transport out.
	TCP, UDP string
	// Accounts are the panels that may report.
	Accounts []Account
	// Behind and Ahead bound how far the time of an encrypted frame may be off the station's clock [40 s and 20 s].
	Behind, Ahead time.Duration
	// Connections is the most TCP connections served at once [256, and 2 for each account].
	Connections int
	// PerHost is the most of them that one host may have, so that it leaves room for the others [half of Connections].
	PerHost int
	// Rate is how many frames a second one TCP connection may send before it has to wait, and how many one host may send by
	// UDP before they are dropped [1000].
	Rate int
	// Idle is how long a TCP connection may be silent [5 min]; an unfinished frame has [10 s].
	Idle time.Duration
	// TellEvery is how often the same refusal of the same account is told again, with its count [1 min].
	TellEvery time.Duration
	// Listening, if set, is called with each bound address.
	Listening func(net.Addr)
	// Log takes changes of state; nil is silence.
	Log *slog.Logger
	// Now is the clock [time.Now].
	Now func() time.Time
	// Rand fills the pad of encrypted answers [crypto/rand].
	Rand io.Reader
}
