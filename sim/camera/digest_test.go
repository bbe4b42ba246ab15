package camera

import (
	"fmt"
	"strings"
	"testing"
)

// The example of RFC 7616, 3.9.1.
const (
	rfcNonce  = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
	rfcAnswer = `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=%s, nonce="` + rfcNonce + `", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="%s", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	rfcMD5    = "8ca523f5e9506fed4657c9700eebdbec"
	rfcSHA256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
)

func TestGuard(t *testing.T) {
	full := guard{user: "Mufasa", password: "Circle of Life", realm: "http-auth@example.org", nonce: rfcNonce, algorithms: []string{algorithmSHA256, algorithmMD5}}
	md5, sha := fmt.Sprintf(rfcAnswer, "MD5", rfcMD5), fmt.Sprintf(rfcAnswer, "SHA-256", rfcSHA256)
	for name, c := range map[string]struct {
		change    func(*guard)
		uri, text string
		ok, stale bool
	}{
		"md5":                 {nil, "/dir/index.html", md5, true, false},
		"sha-256":             {nil, "/dir/index.html", sha, true, false},
		"algorithm left out":  {nil, "/dir/index.html", strings.Replace(md5, "algorithm=MD5, ", "", 1), true, false},
		"other uri":           {nil, "/dir/other.html", md5, false, false},
		"wrong response":      {nil, "/dir/index.html", strings.Replace(md5, "8ca5", "8ca6", 1), false, false},
		"sha-256 not offered": {func(g *guard) { g.algorithms = []string{algorithmMD5} }, "/dir/index.html", sha, false, false},
		"old nonce":           {func(g *guard) { g.nonce = "new" }, "/dir/index.html", md5, false, true},
		"wrong password":      {func(g *guard) { g.password = "x" }, "/dir/index.html", md5, false, false},
		"wrong user":          {func(g *guard) { g.user = "Simba" }, "/dir/index.html", md5, false, false},
		"nothing":             {nil, "/dir/index.html", "", false, false},
		"basic":               {nil, "/dir/index.html", "Basic TXVmYXNhOkNpcmNsZSBvZiBMaWZl", false, false},
		"open camera":         {func(g *guard) { g.user = "" }, "/dir/index.html", "", true, false},
	} {
		g := full
		if c.change != nil {
			c.change(&g)
		}
		if ok, stale := g.admits("GET", c.uri, c.text); ok != c.ok || stale != c.stale {
			t.Errorf("%s: ok %v stale %v", name, ok, stale)
		}
	}
}

func TestChallenges(t *testing.T) {
	algorithms, err := DigestBoth.algorithms()
	if err != nil {
		t.Fatal(err)
	}
	g := guard{realm: "r", nonce: "n", algorithms: algorithms}
	got := g.challenges(true)
	if len(got) != 2 || !strings.Contains(got[0], "algorithm=SHA-256") || !strings.Contains(got[1], "algorithm=MD5") || !strings.Contains(got[0], "stale=true") {
		t.Errorf("challenges %q", got)
	}
	if _, err := Digest("sha1").algorithms(); err == nil {
		t.Error("an unknown algorithm was accepted")
	}
}

func FuzzDigestFields(f *testing.F) {
	f.Add(fmt.Sprintf(rfcAnswer, "MD5", rfcMD5))
	f.Add(`Digest a=b`)
	f.Add(`Digest a="b`)
	f.Add(`Digest , ,=`)
	f.Fuzz(func(t *testing.T, text string) {
		fields, ok := digestFields(text)
		if !ok && fields != nil {
			t.Error("fields of a refused text")
		}
		for name := range fields {
			if name != strings.ToLower(name) {
				t.Errorf("name %q is not in lower case", name)
			}
		}
	})
}
