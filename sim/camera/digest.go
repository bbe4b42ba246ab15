package camera

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Digest says which digest algorithms the camera offers (RFC 7616).
type Digest string

// The offers of real cameras: old ones know MD5 only.
const (
	DigestBoth   Digest = "both" // SHA-256 first, then MD5
	DigestMD5    Digest = "md5"
	DigestSHA256 Digest = "sha256"
)

const (
	algorithmMD5    = "MD5"
	algorithmSHA256 = "SHA-256"
)

// algorithms lists what is offered, the most wanted first (RFC 7616, 3.7).
func (d Digest) algorithms() ([]string, error) {
	switch d {
	case DigestBoth, "":
		return []string{algorithmSHA256, algorithmMD5}, nil
	case DigestMD5:
		return []string{algorithmMD5}, nil
	case DigestSHA256:
		return []string{algorithmSHA256}, nil
	}
	return nil, fmt.Errorf("digest %q: use md5, sha256 or both", string(d))
}

// guard checks the credentials of one connection.
type guard struct {
	user, password, realm, nonce string
	algorithms                   []string
}

// challenges are the WWW-Authenticate values of a 401.
func (g *guard) challenges(stale bool) []string {
	var out []string
	for _, algorithm := range g.algorithms {
		text := fmt.Sprintf(`Digest realm="%s", nonce="%s", qop="auth", algorithm=%s`, g.realm, g.nonce, algorithm)
		if stale {
			text += ", stale=true"
		}
		out = append(out, text)
	}
	return out
}

// admits tells whether an Authorization value opens the door for a request.
// stale means: the password may be right, the nonce is not of this connection.
func (g *guard) admits(method, uri, authorization string) (ok, stale bool) {
	if g.user == "" {
		return true, false
	}
	fields, found := digestFields(authorization)
	if !found || fields["username"] != g.user || fields["realm"] != g.realm || fields["uri"] != uri {
		return false, false
	}
	algorithm := fields["algorithm"]
	if algorithm == "" {
		algorithm = algorithmMD5
	}
	if fields["nonce"] != g.nonce {
		return false, true
	}
	for _, offered := range g.algorithms {
		if strings.EqualFold(offered, algorithm) {
			want := digestResponse(offered, g.password, method, fields)
			return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(fields["response"]))) == 1, false
		}
	}
	return false, false
}

// digestResponse computes the response of RFC 7616, 3.4.1, or without qop that
// of RFC 2069, which clients of RTSP still send.
func digestResponse(algorithm, password, method string, f map[string]string) string {
	sum := func(text string) string {
		var h hash.Hash = md5.New()
		if algorithm == algorithmSHA256 {
			h = sha256.New()
		}
		_, _ = h.Write([]byte(text)) // a hash never fails
		return hex.EncodeToString(h.Sum(nil))
	}
	a1 := sum(f["username"] + ":" + f["realm"] + ":" + password)
	a2 := sum(method + ":" + f["uri"])
	if f["qop"] == "" {
		return sum(a1 + ":" + f["nonce"] + ":" + a2)
	}
	return sum(a1 + ":" + f["nonce"] + ":" + f["nc"] + ":" + f["cnonce"] + ":" + f["qop"] + ":" + a2)
}

// digestFields reads the name=value pairs of an Authorization value.
func digestFields(text string) (map[string]string, bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil, false
	}
	fields := map[string]string{}
	for rest = strings.TrimLeft(rest, " ,\t"); rest != ""; rest = strings.TrimLeft(rest, " ,\t") {
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, false
		}
		if strings.HasPrefix(value, `"`) {
			value, rest, ok = strings.Cut(value[1:], `"`)
			if !ok {
				return nil, false
			}
		} else {
			value, rest, _ = strings.Cut(value, ",")
			value = strings.TrimSpace(value)
		}
		fields[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return fields, true
}
