package rtsp

import (
	"strings"
	"testing"
)

// TestDigestOfTheStandards computes the examples of RFC 2069 (as corrected by its erratum 749), RFC 2617 3.5 and
// RFC 7616 3.9.1.
func TestDigestOfTheStandards(t *testing.T) {
	const older, newer = `realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
		`realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", algorithm=`
	for _, c := range []struct{ challenge, password, cnonce, want string }{
		{older, "CircleOfLife", "", "1949323746fe6a43ef61f9606e7febea"},
		{older + `, qop="auth,auth-int"`, "Circle Of Life", "0a4f113b", "6629fae49393a05397450978507c4ef1"},
		{newer + "MD5", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "8ca523f5e9506fed4657c9700eebdbec"},
		{newer + "SHA-256", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		d, ok := choose(parseChallenges([]string{"Digest " + c.challenge}), "Mufasa", c.password, false).(*digest)
		if !ok {
			t.Fatalf("no answer to %s", c.challenge)
		}
		got := d.header("GET", "/dir/index.html", "00000001", c.cnonce)
		if !strings.Contains(got, `response="`+c.want+`"`) || !strings.Contains(got, "opaque=") {
			t.Errorf("%s: %s", c.challenge, got)
		}
	}
}

func TestChallengeChosen(t *testing.T) {
	for _, c := range []struct {
		name, want string
		lines      []string
	}{
		{"the stronger of two", "SHA-256", []string{`Digest realm="a", nonce="b", algorithm=MD5`, `Digest realm="a", nonce="b", algorithm=SHA-256`}},
		{"one that is known", "MD5", []string{`Digest realm="a", nonce="b", algorithm=SHA-512-256, Digest realm="a", nonce="b", algorithm=MD5`}},
		{"not auth-int alone", "", []string{`Digest realm="a", nonce="b", qop="auth-int"`}},
		{"not Basic where it is not allowed", "", []string{`Basic realm="a"`}},
		{"nothing in garbage", "", []string{`"",,=x "`, "", `realm="a"`}},
	} {
		got := ""
		if d, ok := choose(parseChallenges(c.lines), "u", "p", false).(*digest); ok {
			got = d.algorithm
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestQuotedRealm(t *testing.T) {
	got := parseChallenges([]string{`Digest realm="a \"quoted\" realm, with comma", nonce=plain, qop="auth`})
	if len(got) != 1 || got[0].params["realm"] != `a "quoted" realm, with comma` || got[0].params["nonce"] != "plain" || got[0].params["qop"] != "auth" {
		t.Fatalf("%+v", got)
	}
	h := newDigest(got[0], `u"ser`, "p").authorize("PLAY", "rtsp://x/\r\nX: y")
	if !strings.Contains(h, `username="u\"ser"`) || !strings.Contains(h, `realm="a \"quoted\" realm, with comma"`) || strings.ContainsAny(h, "\r\n") {
		t.Errorf("%s", h)
	}
}
