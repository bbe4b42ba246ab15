package live

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// newAPI makes what all viewings share: H.264 alone, no interceptor (the sender does its own repairs and
// reports), no mDNS, and the part of DTLS server: then it is the station that chooses the cipher, and it takes
// AES-GCM, where a browser in that part would take AES-CM with HMAC-SHA1, six times as dear.
func newAPI(o Options) (*webrtc.API, io.Closer, error) {
	media := &webrtc.MediaEngine{}
	for i, profile := range profiles() {
		if err := media.RegisterCodec(h264Codec(webrtc.PayloadType(96+i), profile+"1f"), webrtc.RTPCodecTypeVideo); err != nil {
			return nil, nil, fmt.Errorf("registering H.264: %w", err)
		}
	}
	logs := logFactory{o.Log}
	settings := webrtc.SettingEngine{LoggerFactory: logs}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	settings.SetIncludeLoopbackCandidate(o.Loopback)
	settings.SetICETimeouts(5*time.Second, 15*time.Second, 2*time.Second)
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, nil, fmt.Errorf("choosing the DTLS role: %w", err)
	}
	var closer io.Closer
	if o.UDPPort != 0 {
		options := []ice.UDPMuxFromPortOption{ice.UDPMuxFromPortWithLogger(logs.NewLogger("mux")), ice.UDPMuxFromPortWithWriteBufferSize(1 << 20)}
		if o.Loopback {
			options = append(options, ice.UDPMuxFromPortWithLoopback())
		}
		mux, err := ice.NewMultiUDPMuxFromPort(o.UDPPort, options...)
		if err != nil {
			return nil, nil, fmt.Errorf("opening UDP port %d for viewings: %w", o.UDPPort, err)
		}
		settings.SetICEUDPMux(mux)
		closer = mux
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})), closer, nil
}

// certificates holds the certificate that viewings share, made anew every day: making one per viewing would
// cost more than anything else in opening it.
type certificates struct {
	mu   sync.Mutex // mu guards the fields below
	cert *webrtc.Certificate
	made time.Time
}

func (c *certificates) current(now time.Time) (webrtc.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && now.Sub(c.made).Abs() < 24*time.Hour {
		return *c.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	c.cert, c.made = cert, now
	return *cert, nil
}

// logFactory hands pion's words to slog: all of them are details for whoever searches a fault.
type logFactory struct{ log *slog.Logger }

var _ logging.LoggerFactory = logFactory{}

// NewLogger makes the logger of one part of pion.
func (f logFactory) NewLogger(scope string) logging.LeveledLogger {
	return &pionLog{f.log.With("scope", scope)}
}

type pionLog struct{ log *slog.Logger }

var _ logging.LeveledLogger = (*pionLog)(nil)

// Traces are dropped: there is one per packet.
func (*pionLog) Trace(string)          {}
func (*pionLog) Tracef(string, ...any) {}

func (l *pionLog) Debug(msg string)          { l.log.Debug("webrtc", "text", msg) }
func (l *pionLog) Debugf(f string, a ...any) { l.log.Debug("webrtc", "text", lazy{f, a}) }
func (l *pionLog) Info(msg string)           { l.Debug(msg) }
func (l *pionLog) Infof(f string, a ...any)  { l.Debugf(f, a...) }
func (l *pionLog) Warn(msg string)           { l.Debug(msg) }
func (l *pionLog) Warnf(f string, a ...any)  { l.Debugf(f, a...) }
func (l *pionLog) Error(msg string)          { l.log.Warn("webrtc", "text", msg) }
func (l *pionLog) Errorf(f string, a ...any) { l.log.Warn("webrtc", "text", lazy{f, a}) }

// lazy formats only what is printed.
type lazy struct {
	format string
	args   []any
}

// LogValue formats the text.
func (l lazy) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(l.format, l.args...)) }
