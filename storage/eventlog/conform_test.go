package eventlog_test

import (
	"log/slog"
	"testing"

	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

func TestConformance(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "encrypted": []byte("0123456789abcdef0123456789abcdef")} {
		t.Run(name, func(t *testing.T) {
			storagetest.TestLog(t, func(t *testing.T) storagetest.Log {
				l, err := eventlog.Open(eventlog.Options{
					Dir: t.TempDir(), Station: "cs-baishi-caoping", ReserveBytes: 16 << 20, Key: key, Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				return l
			})
		})
	}
}
