package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"watchpost/uplink/topic"
)

// Fault says why a link is down, as far as it can be told. The list is append-only: its words stand in events.
type Fault uint8

// The faults.
const (
	FaultNone          Fault = iota
	FaultAway                // nobody listens at the broker's address, or there is no way to it
	FaultName                // the broker's host name has no address
	FaultSilent              // something accepted the connection, or had it, and does not answer as a broker does
	FaultUntrusted           // the broker's certificate is not signed by our CA, or not valid now
	FaultMismatch            // the broker's certificate is for another name
	FaultRefused             // the broker does not take our certificate
	FaultNotAuthorised       // the broker knows us and does not let us in, or not to our topics
	FaultFiles               // our certificate files cannot be read
	FaultOversized           // the broker sent more than we read
	FaultOwn                 // the trouble is on this side, such as an unreadable log
	FaultLost                // the connection ended; nothing more is known
	FaultTooLarge            // it ends again and again when a message is larger than any that the broker took
)

// String is the fault's word in events and logs.
func (f Fault) String() string {
	words := [...]string{
		FaultNone: "none", FaultAway: "broker_away", FaultName: "name_unknown", FaultSilent: "broker_silent",
		FaultUntrusted: "broker_untrusted", FaultMismatch: "name_mismatch", FaultRefused: "certificate_refused",
		FaultNotAuthorised: "not_authorised", FaultFiles: "files", FaultOversized: "oversized", FaultOwn: "own",
		FaultLost: "lost", FaultTooLarge: "too_large",
	}
	if int(f) < len(words) {
		return words[f]
	}
	return fmt.Sprintf("fault-%d", uint8(f))
}

// errConnectTimeout is the cause of a context that ended because the broker took too long.
var errConnectTimeout = errors.New("the broker did not answer in time")

// linkError is an error that knows its fault.
type linkError struct {
	fault Fault
	err   error
}

// Error is the wrapped error's text.
func (e *linkError) Error() string { return e.err.Error() }

// Unwrap is the wrapped error.
func (e *linkError) Unwrap() error { return e.err }

// Classify says which fault an error of a link is.
func Classify(err error) Fault {
	var known *linkError
	if errors.As(err, &known) {
		return known.fault
	}
	for _, f := range []func(error) Fault{classifyTLS, classifyMQTT, classifyNet} {
		if fault := f(err); fault != FaultNone {
			return fault
		}
	}
	return FaultLost
}

// hurried says whether to try again soon. Where nobody is there, an attempt costs next to nothing, and the broker comes back
// by itself. A broker that is there and too slow may have too many to answer; a refusal waits for a person.
func (f Fault) hurried() bool {
	switch f {
	case FaultAway, FaultName, FaultLost:
		return true
	}
	return false
}

func classifyTLS(err error) Fault {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &hostname):
		return FaultMismatch
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &verify):
		return FaultUntrusted
	case errors.As(err, &record):
		return FaultSilent
	case isAlert(err):
		return FaultRefused
	}
	return FaultNone
}

// isAlert says whether err is a TLS alert of the other side: in TLS 1.3 that is how a broker refuses a certificate after
// the handshake looked done. crypto/tls has no type for it.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.HasPrefix(op.Err.Error(), "tls: ")
}

func classifyMQTT(err error) Fault {
	for _, refused := range []error{
		packets.ErrorRefusedNotAuthorised, packets.ErrorRefusedBadUsernameOrPassword, packets.ErrorRefusedIDRejected,
	} {
		if errors.Is(err, refused) {
			return FaultNotAuthorised
		}
	}
	return FaultNone
}

func classifyNet(err error) Fault {
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name):
		return FaultName
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETDOWN):
		return FaultAway
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return FaultLost
	case errors.Is(err, errConnectTimeout), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &network) && network.Timeout(), strings.Contains(err.Error(), "pingresp not received"):
		return FaultSilent
	}
	return FaultNone
}

// explain adds to an error what a person can do about it.
func explain(f Fault, err error, o *Options) error {
	remedy := ""
	switch f {
	case FaultAway:
		remedy = "check the address " + o.Broker + ", the network, and that the broker runs"
	case FaultName:
		remedy = "check the host name in " + o.Broker + " and the name server"
	case FaultSilent:
		remedy = "check the line to " + o.Broker + ", firewalls on it, and that an MQTT broker with TLS listens there"
	case FaultUntrusted:
		remedy = "check that " + o.Files.CA + " is the CA of the broker's certificate, that the certificate has not expired, and this station's clock"
	case FaultMismatch:
		remedy = "check the host in " + o.Broker + ", or set server_name to a name in the broker's certificate"
	case FaultRefused:
		remedy = "check that " + o.Files.Cert + " is this station's certificate, signed by the broker's CA and not expired: enrol the station again if not"
	case FaultNotAuthorised:
		remedy = "check that " + o.Files.Cert + " names station " + o.Address.Station + " and that the broker's permissions let it use " + o.Address.Cmd()
	case FaultFiles:
		remedy = "check ca, cert and key of this centre in the configuration"
	case FaultTooLarge:
		remedy = fmt.Sprintf("check the largest packet that the broker at %s takes, %d bytes and more are needed, and the line to it", o.Broker, topic.MaxPayload+1024)
	case FaultOversized:
		remedy = "check what publishes on " + o.Address.Cmd()
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, remedy)
}
