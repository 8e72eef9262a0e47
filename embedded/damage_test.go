package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

const database = "sdsaws.sqlite"

// loadFrom loads a channel by a new adapter over the store in dir.
func loadFrom(t *testing.T, dir string) (got sds.EncodedChannelData, err error) {
	t.Helper()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		return got, err
	}
	defer s.Close()
	return adapter(t, s).LoadEncodedChannel(t.Context(), "chat")
}

func adapter(t *testing.T, s *embedded.Store) *sdsaws.Adapter {
	t.Helper()
	a, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// filled returns a database with a channel of 60 messages in it.
func filled(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := adapter(t, s)
	for i := range 60 {
		content := bytes.Repeat([]byte(fmt.Sprint(7919*i)), 50)
		u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint("m", i), Content: content}}}
		meta := &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: int64(i)}
		if err := a.Commit(t.Context(), "chat", meta, u); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, database))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func loadFile(t *testing.T, file []byte) (sds.EncodedChannelData, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, database), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return loadFrom(t, dir)
}

// TestADamagedDatabaseIsNoticed changes a byte here and there: what loads is what was
// saved, or it is an error that says what is damaged.
func TestADamagedDatabaseIsNoticed(t *testing.T) {
	file := filled(t)
	want, err := loadFile(t, file)
	if err != nil || len(want.Messages) != 60 {
		t.Fatalf("%d messages, %v", len(want.Messages), err)
	}
	named := 0
	for at := 11; at < len(file); at += 263 {
		damaged := bytes.Clone(file)
		damaged[at] ^= 0x41
		got, err := loadFile(t, damaged)
		var inChannel *sds.ChannelError
		switch {
		case err == nil && bytes.Equal(got.Meta, want.Meta) && slices.EqualFunc(got.Messages, want.Messages, bytes.Equal):
			continue // SQLite doesn't use this byte
		case err == nil:
			t.Errorf("byte %d: %d messages loaded", at, len(got.Messages))
		case errors.As(err, &inChannel) && (inChannel.Item == "" || !isDamage(err)):
			t.Errorf("byte %d: no item, or not as damage: %v", at, err)
		case inChannel == nil && !errors.Is(err, store.ErrMalformed) && !errors.Is(err, embedded.ErrNewer):
			t.Errorf("byte %d: %v", at, err)
		default:
			named++
		}
	}
	t.Logf("%d changes were noticed", named)
	if named < 15 {
		t.Errorf("only %d changes were noticed", named)
	}
}

func isDamage(err error) bool {
	return errors.Is(err, sds.ErrCorrupt) || errors.Is(err, sds.ErrIncomplete) || errors.Is(err, sds.ErrUnsupportedFormat)
}

// TestWhatIsNoDatabaseIsRefused: and said to be so, with what can be done.
func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	file := filled(t)
	for name, content := range map[string][]byte{
		"something else":  bytes.Repeat([]byte("no database "), 1000),
		"its first bytes": file[:100],
		"its first page":  file[:4096],
		"its first half":  file[:len(file)/2],
		"all but a page":  file[:len(file)-4096],
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, database)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadFrom(t, dir)
		if !errors.Is(err, store.ErrMalformed) || !strings.Contains(err.Error(), "restore the directory") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
}
