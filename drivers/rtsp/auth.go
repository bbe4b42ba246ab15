package rtsp

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// maxChallenges bounds the challenges looked at in one response.
const maxChallenges = 16

// challenge is one scheme that a camera offers in WWW-Authenticate.
type challenge struct {
	scheme string // "Digest" or "Basic"
	params map[string]string
}

// parseChallenges reads all challenges of a response: several header lines, or several schemes in one line
// (quirk A2). Schemes other than Digest and Basic are left out.
func parseChallenges(values []string) []challenge {
	var out []challenge
	for _, v := range values {
		for v != "" && len(out) < maxChallenges {
			name, rest := token(v)
			rest = strings.TrimLeft(rest, " \t")
			switch {
			case strings.HasPrefix(rest, "="): // a parameter of the scheme before it
				var value string
				value, rest = paramValue(rest[1:])
				if n := len(out); n > 0 && out[n-1].params != nil {
					out[n-1].params[strings.ToLower(name)] = value
				}
			case name != "":
				out = append(out, challenge{scheme: name, params: map[string]string{}})
			default:
				rest = rest[min(1, len(rest)):] // a byte that belongs to nothing
			}
			v = strings.TrimLeft(rest, ", \t")
		}
	}
	kept := out[:0]
	for _, c := range out {
		if strings.EqualFold(c.scheme, "Digest") || strings.EqualFold(c.scheme, "Basic") {
			kept = append(kept, c)
		}
	}
	return kept
}

// token splits off the leading word.
func token(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t=,\"")
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i:]
}

// paramValue splits off a parameter's value, quoted or not.
func paramValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ", \t")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), "" // the closing quote is missing
}

// digest answers one Digest challenge (RFC 7616; without qop, RFC 2069). It is kept across sessions, so that a
// camera need not challenge again.
type digest struct {
	user, password string
	realm, nonce   string
	opaque         string
	algorithm      string // as the camera wrote it, "" for MD5
	qop            bool
	session        bool // algorithm -sess
	sum            func() hash.Hash
	count          uint32
}

// basic answers a Basic challenge (RFC 7617): the password as good as in the clear, so only where a camera
// offers nothing else, and never after a redirect to another host.
type basic struct{ user, password string }

// authorizer writes the Authorization header of one request.
type authorizer interface {
	authorize(method, uri string) string
}

var (
	_ authorizer = (*digest)(nil)
	_ authorizer = basic{}
)

// choose takes the best challenge offered: Digest with SHA-256, Digest with MD5, then Basic if allowed; nil
// when none can be answered.
func choose(challenges []challenge, user, password string, allowBasic bool) authorizer {
	var best *digest
	hasBasic := false
	for _, c := range challenges {
		if strings.EqualFold(c.scheme, "Basic") {
			hasBasic = true
			continue
		}
		d := newDigest(c, user, password)
		if d != nil && (best == nil || d.sum().Size() > best.sum().Size()) {
			best = d
		}
	}
	switch {
	case best != nil:
		return best
	case hasBasic && allowBasic:
		return basic{user, password}
	default:
		return nil
	}
}

// newDigest prepares the answer to one challenge, nil when its algorithm or protection is not known.
func newDigest(c challenge, user, password string) *digest {
	d := &digest{user: user, password: password, realm: c.params["realm"], nonce: c.params["nonce"],
		opaque: c.params["opaque"], algorithm: c.params["algorithm"]}
	name, isSession := strings.CutSuffix(strings.ToUpper(d.algorithm), "-SESS")
	d.session = isSession
	switch name {
	case "", "MD5":
		d.sum = md5.New
	case "SHA-256", "SHA256":
		d.sum = sha256.New
	default:
		return nil
	}
	if qop := c.params["qop"]; qop != "" {
		for _, q := range strings.Split(qop, ",") {
			d.qop = d.qop || strings.EqualFold(strings.TrimSpace(q), "auth")
		}
		if !d.qop {
			return nil // auth-int only
		}
	}
	return d
}

// authorize hashes exactly the URI of the request line (quirk A1).
func (d *digest) authorize(method, uri string) string {
	d.count++
	nc, cnonce := fmt.Sprintf("%08x", d.count), rand.Text()[:16]
	return d.header(method, uri, nc, cnonce)
}

func (d *digest) header(method, uri, nc, cnonce string) string {
	ha1 := d.hex(d.user, d.realm, d.password)
	if d.session {
		ha1 = d.hex(ha1, d.nonce, cnonce)
	}
	ha2 := d.hex(method, uri)
	response := d.hex(ha1, d.nonce, ha2)
	if d.qop {
		response = d.hex(ha1, d.nonce, nc, cnonce, "auth", ha2)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
		quote(d.user), quote(d.realm), quote(d.nonce), quote(uri), response)
	if d.algorithm != "" {
		fmt.Fprintf(&b, `, algorithm=%s`, d.algorithm)
	}
	if d.opaque != "" {
		fmt.Fprintf(&b, `, opaque="%s"`, quote(d.opaque))
	}
	if d.qop {
		fmt.Fprintf(&b, `, qop=auth, nc=%s, cnonce="%s"`, nc, cnonce)
	} else if d.session {
		fmt.Fprintf(&b, `, cnonce="%s"`, cnonce)
	}
	return b.String()
}

// hex hashes the parts joined by colons.
func (d *digest) hex(parts ...string) string {
	h := d.sum()
	h.Write([]byte(strings.Join(parts, ":"))) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

func (b basic) authorize(_, _ string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(b.user+":"+b.password))
}

func isBasic(a authorizer) bool {
	_, ok := a.(basic)
	return ok
}

// quote escapes what stands inside a quoted string, and drops line ends.
func quote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "").Replace(s)
}
