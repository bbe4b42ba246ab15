package eventlog_test

import (
	"log/slog"
	"testing"

	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.TestLog(t, func(t *testing.T) storagetest.Log {
		l, err := eventlog.Open(eventlog.Options{
			Dir: t.TempDir(), Station: "cs-baishi-caoping", ReserveBytes: 16 << 20, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
