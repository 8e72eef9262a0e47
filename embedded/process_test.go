package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/store"
)

const writerVariable = "SDSAWS_EMBEDDED_WRITER"

// TestMain makes this executable a process that writes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVariable); dir != "" {
		fmt.Fprintln(os.Stderr, write(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var written = store.Key{Namespace: "alice", Channel: "chat"}

func object(i uint64) string { return fmt.Sprintf("objects/%d", i) }

// write puts object after object, commits a message for each, and says so when both are
// stored. It goes on where a process before it was killed.
func write(ctx context.Context, dir string) error {
	s, err := embedded.Open(dir, nil)
	if err != nil {
		return err
	}
	head, err := s.Head(ctx, written)
	if err != nil {
		return err
	}
	if head == nil {
		head = &store.Head{}
	}
	for {
		i, prev := head.Next, head.CommitID
		copy(head.CommitID[:], fmt.Sprintf("%016d", i))
		head.Next++
		head.Body = content(i)
		m := store.Message{Offset: i, ID: fmt.Sprint(i), Body: content(i)}
		if _, err := s.Archive().Put(ctx, object(i), content(i)); err != nil {
			return err
		}
		if err := s.Commit(ctx, written, prev, *head, []store.Message{m}); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func content(i uint64) []byte { return []byte(strings.Repeat(fmt.Sprint(i, " "), 2000)) }

// TestAKilledProcess writes in a process that is killed at some moment, several times: no
// other can open the directory meanwhile, and afterwards all that it said is there.
func TestAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 8 {
		said := killed(t, exe, dir, 1+round*3)
		s, err := embedded.Open(dir, nil)
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		head, messages, err := s.Load(t.Context(), written, 0)
		if err != nil || head == nil || head.Next <= said || uint64(len(messages)) != head.Next {
			t.Fatalf("it said %d; there are %d messages and the head %+v, %v", said, len(messages), head, err)
		}
		for i, m := range messages {
			if m.Offset != uint64(i) || string(m.Body) != string(content(m.Offset)) {
				t.Fatalf("message %d isn't as it was written", i)
			}
		}
		for i := range said + 1 {
			body, err := s.Archive().Get(t.Context(), store.Object{Name: object(i)})
			if err != nil || string(body) != string(content(i)) {
				t.Fatalf("object %d of %d isn't as it was written: %v", i, said, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed starts a process that writes, kills it when it has said so many lines, and
// returns the last number it said.
func killed(t *testing.T, exe, dir string, lines int) (said uint64) {
	t.Helper()
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), writerVariable+"="+dir)
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		if said, err = strconv.ParseUint(scanner.Text(), 10, 64); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if _, err := embedded.Open(dir, nil); !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), dir) {
				t.Errorf("a second process: %v, want ErrInUse and the directory", err)
			}
		}
		if n == lines {
			_ = c.Process.Kill() // what it says until then is read as well
		}
	}
	if err := c.Wait(); err == nil {
		t.Fatal("it ended by itself")
	}
	return said
}

// TestOneStoreADirectory: nor can this process open it twice.
func TestOneStoreADirectory(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := embedded.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := embedded.Open(dir, nil); !errors.Is(err, embedded.ErrInUse) {
			t.Errorf("%v, want ErrInUse", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
