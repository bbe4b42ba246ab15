// A centre vouches for its stations: one P-256 root per centre signs the broker's certificate, the centre's own and one per
// station, whose common name is the station id and whose organisation is the jurisdiction. The broker and the intake believe
// these two names and nothing that a station says of itself.
package authority

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"watchpost/uplink/topic"
)

// CentreName is the common name of the centre's own client certificate; no station may bear it.
const CentreName = "centre"

// Names of the files that Create and Enrol write.
const (
	CAFile         = "ca.pem"
	CommandPubFile = "command.pub"
	StationFile    = "station.pem"
	StationKeyFile = "station-key.pem"

	caKeyFile      = "ca-key.pem"
	serverFile     = "server.pem"
	serverKeyFile  = "server-key.pem"
	centreFile     = "centre.pem"
	centreKeyFile  = "centre-key.pem"
	commandKeyFile = "command-key.pem"
)

const (
	rootLife    = 20 * 365 * 24 * time.Hour
	leafLife    = 5 * 365 * 24 * time.Hour
	clockLeeway = 24 * time.Hour // a station whose clock is a day behind can still connect
)

// ErrExists means that the directory already holds a centre.
var ErrExists = errors.New("a centre is there already")

// ErrMissing means that the directory holds no centre.
var ErrMissing = errors.New("no centre here")

// Name is who a certificate speaks for: a station of a jurisdiction, or the centre itself (Station = CentreName).
type Name struct {
	Jurisdiction string
	Station      string
}

// Authority is an opened centre directory: it can issue certificates and hand out the centre's own keys.
type Authority struct {
	dir    string
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	signer ed25519.PrivateKey
}

// Create writes a new root, the broker's certificate for the given hosts (names or addresses; localhost is always among
// them), the centre's client certificate and the command key into dir, which must not hold a centre yet.
func Create(dir string, hosts []string, now time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the centre's directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, caKeyFile)); err == nil {
		return nil, fmt.Errorf("%s: %w; to start over, move that directory away (every station must then be enrolled anew)", dir, ErrExists)
	}
	a := &Authority{dir: dir}
	if err := a.createRoot(now); err != nil {
		return nil, err
	}
	if err := a.createCommandKey(); err != nil {
		return nil, err
	}
	server := leaf(Name{Station: "localhost"}, now, x509.ExtKeyUsageServerAuth)
	addHosts(server, append([]string{"localhost", "127.0.0.1", "::1"}, hosts...))
	if err := a.issue(dir, serverFile, serverKeyFile, server); err != nil {
		return nil, err
	}
	centre := leaf(Name{Station: CentreName}, now, x509.ExtKeyUsageClientAuth)
	if err := a.issue(dir, centreFile, centreKeyFile, centre); err != nil {
		return nil, err
	}
	// The root's key comes last: it marks a directory that is whole.
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the root's key: %w", err)
	}
	return a, write(dir, caKeyFile, "PRIVATE KEY", der, 0o600)
}

// Open reads the centre in dir.
func Open(dir string) (*Authority, error) {
	rootDER, err := read(dir, CAFile, "CERTIFICATE")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; run `dispatch init --dir %s` first", dir, ErrMissing, dir)
	}
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir}
	if a.root, err = x509.ParseCertificate(rootDER); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, CAFile), err)
	}
	key, err := readKey(dir, caKeyFile)
	if err != nil {
		return nil, err
	}
	command, err := readKey(dir, commandKeyFile)
	if err != nil {
		return nil, err
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, fmt.Errorf("reading %s: not an ECDSA key", filepath.Join(dir, caKeyFile))
	}
	if a.signer, ok = command.(ed25519.PrivateKey); !ok {
		return nil, fmt.Errorf("reading %s: not an Ed25519 key", filepath.Join(dir, commandKeyFile))
	}
	return a, nil
}

// Enrol writes a station's certificate and key, the root and the public command key into out.
func (a *Authority) Enrol(out string, n Name, now time.Time) error {
	if err := CheckName(n); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fmt.Errorf("creating the station's directory: %w", err)
	}
	if err := write(out, CAFile, "CERTIFICATE", a.root.Raw, 0o644); err != nil {
		return err
	}
	if err := a.writeCommandPub(out); err != nil {
		return err
	}
	return a.issue(out, StationFile, StationKeyFile, leaf(n, now, x509.ExtKeyUsageClientAuth))
}

// CommandKey is the centre's signing key for commands.
func (a *Authority) CommandKey() ed25519.PrivateKey { return a.signer }

// ServerTLS is what the broker listens with: it demands a client certificate of this centre.
func (a *Authority) ServerTLS() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(a.dir, serverFile), filepath.Join(a.dir, serverKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the broker's certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool(),
		MinVersion:   tls.VersionTLS12,
	}, nil
}

// ClientTLS is what the centre itself dials a broker with.
func (a *Authority) ClientTLS() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(a.dir, centreFile), filepath.Join(a.dir, centreKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the centre's certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: a.pool(), MinVersion: tls.VersionTLS12}, nil
}

// NameOf reads who a verified peer certificate speaks for; the zero Name when it says nothing usable.
func NameOf(cert *x509.Certificate) Name {
	n := Name{Station: cert.Subject.CommonName}
	if len(cert.Subject.Organization) == 1 {
		n.Jurisdiction = cert.Subject.Organization[0]
	}
	if n.Station == CentreName && n.Jurisdiction == "" {
		return n
	}
	if CheckName(n) != nil {
		return Name{}
	}
	return n
}

// CheckName says whether a name can be a topic segment and a certificate's subject: no station is called
// like the centre.
func CheckName(n Name) error {
	if n.Station == CentreName {
		return fmt.Errorf("station id %q is the centre's own name; choose another", n.Station)
	}
	if err := topic.ValidSegment("jurisdiction", n.Jurisdiction); err != nil {
		return fmt.Errorf("%w; such as changshan", err)
	}
	if err := topic.ValidSegment("station", n.Station); err != nil {
		return fmt.Errorf("%w; such as cs-baishi-caoping", err)
	}
	return nil
}

func (a *Authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

func (a *Authority) createRoot(now time.Time) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return fmt.Errorf("making the root's key: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Watchpost centre"},
		NotBefore:             now.Add(-clockLeeway),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("signing the root: %w", err)
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("reading back the root: %w", err)
	}
	return write(a.dir, CAFile, "CERTIFICATE", der, 0o644)
}

func (a *Authority) createCommandKey() (err error) {
	if _, a.signer, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return fmt.Errorf("making the command key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.signer)
	if err != nil {
		return fmt.Errorf("encoding the command key: %w", err)
	}
	if err := write(a.dir, commandKeyFile, "PRIVATE KEY", der, 0o600); err != nil {
		return err
	}
	return a.writeCommandPub(a.dir)
}

// CommandPub is the public command key as stations want it: base64 of its 32 bytes.
func (a *Authority) CommandPub() string {
	return base64.StdEncoding.EncodeToString(a.signer.Public().(ed25519.PublicKey))
}

func (a *Authority) writeCommandPub(dir string) error {
	return writeFile(dir, CommandPubFile, []byte(a.CommandPub()+"\n"), 0o644)
}

func (a *Authority) issue(dir, certFile, keyFile string, tmpl *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.root, &key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("signing the certificate of %s: %w", tmpl.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	if err := write(dir, keyFile, "PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	return write(dir, certFile, "CERTIFICATE", der, 0o644)
}

func leaf(n Name, now time.Time, use x509.ExtKeyUsage) *x509.Certificate {
	subject := pkix.Name{CommonName: n.Station}
	if n.Jurisdiction != "" {
		subject.Organization = []string{n.Jurisdiction}
	}
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      subject,
		NotBefore:    now.Add(-clockLeeway),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{use},
	}
}

func addHosts(c *x509.Certificate, hosts []string) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails, by crypto/rand's contract
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

func write(dir, name, kind string, der []byte, mode os.FileMode) error {
	return writeFile(dir, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func writeFile(dir, name string, b []byte, mode os.FileMode) error {
	if err := renameio.WriteFile(filepath.Join(dir, name), b, mode); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

func read(dir, name, kind string) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the centre: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("reading %s: no PEM block %q in it", path, kind)
	}
	return block.Bytes, nil
}

func readKey(dir, name string) (any, error) {
	der, err := read(dir, name, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
	}
	return key, nil
}
