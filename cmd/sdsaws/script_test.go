package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sdsaws":     func() { os.Exit(run()) },
		"parquetcat": func() { parquetcat(os.Args[1]) },
	})
}

// parquetcat prints the rows of a history in Parquet.
func parquetcat(file string) {
	rows, err := parquet.ReadFile[struct {
		Offset     int64  `parquet:"offset"`
		MessageID  []byte `parquet:"message_id"`
		ArchivedAt *int64 `parquet:"archived_at"`
		Live       bool   `parquet:"live"`
	}](file)
	if err != nil {
		panic(err)
	}
	for _, r := range rows {
		where := "archived"
		if r.Live && r.ArchivedAt == nil {
			where = "history"
		}
		fmt.Println(r.Offset, quoteID(string(r.MessageID)), where)
	}
}

// TestScripts runs testdata/*.txtar. Beside testscript's commands these have
//
//	store DIR             makes a store with the channels of fill, namespace alice
//	large DIR             adds the channel of fillLarge to a store
//	buffers DIR           adds the channel of fillBuffers to a store
//	exits N COMMAND…      runs a command and expects exit status N
//	exec parquetcat FILE  prints the rows of a history in Parquet
//	sql DIR STATEMENT     changes the database of a store, as damage does
//	alter GLOB            changes a byte in each file
//	erase GLOB            removes each file
//	readme COMMAND        expects all that README.md shows of a command's output in the last one's
//
// and $RECORDED and $TRACES, the directories with recordings and synthetic traces.
func TestScripts(t *testing.T) {
	internal, err := filepath.Abs("../../internal")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("RECORDED", filepath.Join(internal, "recorded"))
			e.Setenv("TRACES", filepath.Join(internal, "trace", "testdata"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"store": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(fill(context.Background(), ts.MkAbs(args[0])))
			},
			"large": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(fillLarge(context.Background(), ts.MkAbs(args[0])))
			},
			"buffers": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(fillBuffers(context.Background(), ts.MkAbs(args[0])))
			},
			"sql": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(alter(context.Background(), ts.MkAbs(args[0]), args[1]))
			},
			"alter": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, file := range glob(ts, args[0]) {
					b, err := os.ReadFile(file)
					ts.Check(err)
					b[len(b)/2] ^= 1
					ts.Check(os.WriteFile(file, b, 0o600))
				}
			},
			"erase": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, file := range glob(ts, args[0]) {
					ts.Check(os.Remove(file))
				}
			},
			"readme": func(ts *testscript.TestScript, _ bool, args []string) {
				page, err := os.ReadFile(filepath.Join(internal, "..", "README.md"))
				ts.Check(err)
				_, shown, _ := strings.Cut(string(page), "\n$ "+args[0])
				shown, _, ok := strings.Cut(shown, "\n```\n")
				_, shown, _ = strings.Cut(shown, "\n") // the rest of the command
				if !ok || shown == "" {
					ts.Fatalf("README.md shows nothing of %s", args[0])
				}
				got := ts.ReadFile("stdout")
				for part := range strings.SplitSeq(shown, "...\n") { // which stands for some lines
					if !strings.Contains(got, part) {
						ts.Fatalf("README.md shows something else than\n%s\nnamely\n%s", got, part)
					}
				}
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					var exit *exec.ExitError
					if !errors.As(err, &exit) {
						ts.Fatalf("%v", err)
					}
					got = exit.ExitCode()
				}
				if got != want {
					ts.Fatalf("exit status %d, want %d", got, want)
				}
			},
		},
	})
}

// alter changes the database of a store.
func alter(ctx context.Context, dir, statement string) error {
	db, err := sql.Open("sqlite", filepath.Join(dir, "sdsaws.sqlite"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// glob returns the files that a pattern matches: at least one.
func glob(ts *testscript.TestScript, pattern string) []string {
	files, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file matches %s", pattern)
	}
	return files
}

// hostile is a message id of which each byte has been trouble somewhere.
const hostile = "\xff\x00\"'\\ id"

// fill makes a store with three channels of which a part was evicted and nothing is
// archived:
//
//	chat     id-0 to id-3 evicted; id-4, "quoted", hostile, id-7 history; Lamport timestamps 10, 20, …
//	\xff     id-0 evicted, id-1 history
//	damaged  id-0 evicted and missing, id-1 history
//
// and an object of chat that nothing refers to.
func fill(ctx context.Context, dir string) (err error) {
	s, a, err := openAlice(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	chat := []string{"id-0", "id-1", "id-2", "id-3", "id-4", `"quoted"`, hostile, "id-7"}
	for channel, ids := range map[string][]string{"chat": chat, "\xff": {"id-0", "id-1"}, "damaged": {"id-0", "id-1"}} {
		u := &sds.HistoryUpdate{Evict: ids[:len(ids)/2]}
		for i, id := range ids {
			u.Append = append(u.Append, newMessage(channel, id, i))
		}
		if err := a.UpdateHistory(ctx, channel, u); err != nil {
			return err
		}
	}
	if err := a.Close(ctx); err != nil {
		return err
	}
	garbage := record.Folder(record.Values, store.Key{Namespace: "alice", Channel: "chat"}) + "nobody-refers-to-it"
	if _, err := s.Archive().Put(ctx, garbage, []byte("garbage")); err != nil {
		return err
	}
	return s.Delete(ctx, store.Key{Namespace: "alice", Channel: "damaged"}, 0, 1)
}

func openAlice(dir string) (*embedded.Store, *sdsaws.Adapter, error) {
	s, err := embedded.Open(dir, nil)
	if err != nil {
		return nil, nil, err
	}
	a, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()},
		&sdsaws.Options{Namespace: "alice", GroupSize: 1})
	return s, a, err
}

// fillLarge makes a channel "large" in a store: id-0 evicted and archived, id-1 history and a
// snapshot, both in the archive.
func fillLarge(ctx context.Context, dir string) (err error) {
	s, a, err := openAlice(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	noise := make([]byte, 100<<10)
	_, _ = rand.Read(noise) // never fails
	m := newMessage("large", "id-1", 1)
	m.Content = noise
	meta := &sds.ChannelMeta{SchemaVersion: 1, OutgoingRepairBuffer: []sds.OutgoingRepair{{
		MessageID: "id-2", HistoryEntry: sds.HistoryEntry{MessageID: "id-2", RetrievalHint: noise}}}}
	u := &sds.HistoryUpdate{Append: []sds.Message{newMessage("large", "id-0", 0), m}, Evict: []string{"id-0"}}
	if err := a.Commit(ctx, "large", meta, u); err != nil {
		return err
	}
	if _, err := a.Sweep(ctx, "large", nil); err != nil {
		return err
	}
	return a.Close(ctx)
}

// fillBuffers makes a channel "buffers" in a store, with something in each of its buffers: in the outgoing
// one 12 messages, the first of which is history too.
func fillBuffers(ctx context.Context, dir string) (err error) {
	s, a, err := openAlice(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	first := newMessage("buffers", "id-0", 0)
	cached, err := first.MarshalBinary()
	if err != nil {
		return err
	}
	entry := sds.HistoryEntry{MessageID: hostile, SenderID: "bob\xfe", RetrievalHint: []byte("hint")}
	meta := &sds.ChannelMeta{
		SchemaVersion: 1, LamportTimestamp: 1234,
		IncomingBuffer:       []sds.IncomingMessage{{Message: newMessage("buffers", hostile, 2), MissingDeps: []string{"\xff"}}},
		OutgoingRepairBuffer: []sds.OutgoingRepair{{MessageID: hostile, HistoryEntry: entry, MinTimeMs: 1000}},
		IncomingRepairBuffer: []sds.IncomingRepair{{MessageID: "id-0", HistoryEntry: entry, CachedMessage: cached, MinTimeMs: 2000}},
	}
	for i := range 12 {
		meta.OutgoingBuffer = append(meta.OutgoingBuffer, sds.OutgoingMessage{
			Message: newMessage("buffers", fmt.Sprint("id-", i), i), SendTimeMs: 86_400_000, ResendAttempts: uint32(i)})
	}
	if err := a.Commit(ctx, "buffers", meta, &sds.HistoryUpdate{Append: []sds.Message{first}}); err != nil {
		return err
	}
	return a.Close(ctx)
}

func newMessage(channel, id string, i int) sds.Message {
	m := sds.Message{
		MessageID: id, ChannelID: channel, SenderID: "bob\xfe", LamportTimestamp: int64(10 * (i + 1)),
		Content: fmt.Appendf(nil, "content %d\n", i), BloomFilter: make([]byte, 100),
	}
	switch i {
	case 2:
		m.Content = []byte(strings.Repeat("\x1b[31m", 100))
		m.CausalHistory = []sds.HistoryEntry{{MessageID: hostile}, {MessageID: "id-1"}}
	case 3:
		m.Content = nil
	}
	return m
}

// canceler cancels a context when the first line is written.
type canceler struct {
	strings.Builder
	cancel context.CancelFunc
}

func (c *canceler) Write(b []byte) (int, error) {
	c.cancel()
	return c.Builder.Write(b)
}

// TestAnInterruptSaysHowFarItCame: there is no half file, and what is imported is whole.
func TestAnInterruptSaysHowFarItCame(t *testing.T) {
	dir := t.TempDir()
	if err := fillLarge(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := fillBuffers(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	interrupted := func(want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cmd := rootCommand()
		cmd.SetOut(&canceler{cancel: cancel})
		cmd.SetArgs(append(args, "--json"))
		err := cmd.ExecuteContext(ctx)
		var done *soFar
		if !errors.Is(err, context.Canceled) || !errors.As(err, &done) || done.what != want {
			t.Fatalf("%v, want %q", err, want)
		}
	}
	from := []string{"--backend", "embedded:" + dir, "--namespace", "alice"}
	file := filepath.Join(t.TempDir(), "out")
	interrupted(file+" isn't written", append([]string{"export", "buffers", "large", "--output", file}, from...)...)
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Fatalf("it leaves %v, %v", left, err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := rootCommand()
		cmd.SetOut(t.Output())
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run(append([]string{"export", "buffers", "large", "--output", file}, from...)...)
	to := []string{"--backend", "embedded:" + filepath.Join(t.TempDir(), "new"), "--namespace", "bob"}
	interrupted(`1 of 2 channels are imported; from "large" on, import them with --replace`, append([]string{"import", file}, to...)...)
	run(append([]string{"fsck", "buffers"}, to...)...)
	run(append([]string{"import", file, "large", "--replace"}, to...)...)
	run(append([]string{"fsck", "--all"}, to...)...)
}

// TestAnInterruptStopsInTheMiddle: what was shown stays, and the store is closed.
func TestAnInterruptStopsInTheMiddle(t *testing.T) {
	for name, args := range map[string][]string{
		"channels": {"channels", "--json"},
		"history":  {"history", "chat", "--json"},
		"sweep":    {"sweep", "--json", "chat", `"\xff"`, "damaged"},
		"fsck":     {"fsck", "--json", "--all"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fill(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			out := &canceler{cancel: cancel}
			cmd := rootCommand()
			cmd.SetOut(out)
			cmd.SetErr(t.Output())
			cmd.SetArgs(append(args, "--backend", "embedded:"+dir, "--namespace", "alice"))
			if err := cmd.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, want that it was canceled", err)
			}
			if n := strings.Count(out.String(), "\n"); n < 1 || n > 2 {
				t.Errorf("%d lines, want one, and a total:\n%s", n, out)
			}
			s, err := embedded.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
