package station

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
)

// hashed is a code as a configuration has it, with the least work that is allowed.
func hashed(code string) string {
	salt := []byte("salt-of-" + code)
	sum := argon2.IDKey([]byte(code), salt, 1, 8, 1, 32)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", enc.EncodeToString(salt), enc.EncodeToString(sum))
}

func testUsers(t *testing.T) []config.User {
	t.Helper()
	code := func(s string) (c config.Code) {
		if err := c.UnmarshalText([]byte(hashed(s))); err != nil {
			t.Fatal(err)
		}
		return c
	}
	return []config.User{{ID: "li", Code: code("1234"), Duress: code("4321")}, {ID: "card-only"}, {ID: "wu", Code: code("5678")}}
}

func TestTheKeypadKnowsWhoseCodeItIs(t *testing.T) {
	k := &keypad{users: testUsers(t), up: func() time.Duration { return time.Hour }}
	for code, want := range map[string]arming.Actor{
		"1234": {User: "li", Via: "code"}, "4321": {User: "li", Via: "code", Duress: true}, "5678": {User: "wu", Via: "code"},
		"": {Via: "code", Why: whyCode}, "12345": {Via: "code", Why: whyCode},
	} {
		if got, err := k.enter(code); err != nil || got != want {
			t.Errorf("%q: %+v, %v", code, got, err)
		}
	}
}

func TestFiveWrongCodesLockTheKeypad(t *testing.T) {
	now := time.Hour
	k := &keypad{users: testUsers(t), up: func() time.Duration { return now }}
	wrong := func(want string) {
		t.Helper()
		_, err := k.enter("0000")
		locked, is := errors.AsType[*lockedError](err)
		got := "taken"
		if is {
			got = fmt.Sprintf("locked for %s, now %v", locked.left, locked.now)
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for range 4 {
		wrong("taken")
	}
	if who, err := k.enter("5678"); err != nil || who.User != "wu" { // a right one: the count begins anew
		t.Fatalf("%+v, %v", who, err)
	}
	for range 2 {
		for range 4 {
			wrong("taken")
		}
		wrong("locked for 1m30s, now true")
		now += 30 * time.Second
		wrong("locked for 1m0s, now false")
		if who, err := k.enter("1234"); err == nil || who.User != "" {
			t.Errorf("a locked keypad knows %+v", who)
		}
		now += time.Minute
	}
	if who, err := k.enter("1234"); err != nil || who.User != "li" {
		t.Errorf("%+v, %v", who, err)
	}
}

// Whoever measures how long a code takes must not learn whether it is half right: every user's codes are compared, always.
func BenchmarkKeypad(b *testing.B) {
	var users []config.User
	for i := range 10 {
		var u config.User
		u.ID = fmt.Sprint(i)
		if err := errors.Join(u.Code.UnmarshalText([]byte(hashed(fmt.Sprint(1000+i)))), u.Duress.UnmarshalText([]byte(hashed(fmt.Sprint(2000+i))))); err != nil {
			b.Fatal(err)
		}
		users = append(users, u)
	}
	for _, code := range []string{"1000", "1009", "2009", "0000"} {
		b.Run(code, func(b *testing.B) {
			k := &keypad{users: users, up: func() time.Duration { return 0 }}
			for b.Loop() {
				_, _ = k.enter(code)
				k.wrong, k.until = 0, 0
			}
		})
	}
}
