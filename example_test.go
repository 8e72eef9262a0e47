package sdsaws_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds"
)

// check ends an example that went wrong.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// openExample opens an adapter on a store in a directory of its own. On AWS,
// sdsaws.Open does what New does here.
func openExample() (a *sdsaws.Adapter, end func()) {
	dir, err := os.MkdirTemp("", "sdsaws-example-")
	check(err)
	s, err := embedded.Open(dir, nil)
	check(err)
	a, err = sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &sdsaws.Options{Namespace: "alice"})
	check(err)
	return a, func() {
		check(a.Close(context.Background()))
		check(s.Close())
		check(os.RemoveAll(dir))
	}
}

// say appends a message and keeps the last two as history.
func say(ctx context.Context, a *sdsaws.Adapter, clock int64, text string) {
	m := sds.Message{MessageID: fmt.Sprint("m", clock), LamportTimestamp: clock, ChannelID: "chat", Content: []byte(text)}
	err := a.Commit(ctx, "chat", &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: clock},
		&sds.HistoryUpdate{Append: []sds.Message{m}, Evict: []string{fmt.Sprint("m", clock-2)}})
	check(err)
}

func ExampleAdapter_Commit() {
	ctx := context.Background()
	a, end := openExample()
	defer end()
	say(ctx, a, 1, "hello")
	data, err := a.LoadChannel(ctx, "chat")
	check(err)
	fmt.Printf("clock %d, %s\n", data.Meta.LamportTimestamp, data.MessageHistory[0].Content)
	// Output: clock 1, hello
}

// What was evicted and what is history, in the order of the log, wherever it is.
func ExampleAdapter_History() {
	ctx := context.Background()
	a, end := openExample()
	defer end()
	for i, text := range []string{"one", "two", "three", "four"} {
		say(ctx, a, int64(i+1), text)
	}
	done, err := a.Archive(ctx, "chat")
	check(err)
	fmt.Printf("%d messages archived in %d segment\n", done.Messages, done.Segments)
	for h, err := range a.History(ctx, "chat", sdsaws.HistoryRange{}) {
		check(err)
		var m sds.Message
		check(m.UnmarshalBinary(h.Encoded))
		fmt.Printf("%d %-5s archived %-5v history %v\n", h.Offset, m.Content, !h.ArchivedAt.IsZero(), h.Live)
	}
	// Output:
	// 2 messages archived in 1 segment
	// 0 one   archived true  history false
	// 1 two   archived true  history false
	// 4 three archived false history true
	// 5 four  archived false history true
}

// One message by its id, archived or not.
func ExampleAdapter_Message() {
	ctx := context.Background()
	a, end := openExample()
	defer end()
	for i := range int64(5) {
		say(ctx, a, i, fmt.Sprint("text ", i))
	}
	_, err := a.Archive(ctx, "chat")
	check(err)
	h, err := a.Message(ctx, "chat", "m1")
	check(err)
	var m sds.Message
	check(m.UnmarshalBinary(h.Encoded))
	fmt.Printf("%s, archived %v\n", m.Content, !h.ArchivedAt.IsZero())
	// Output: text 1, archived true
}

// A sweeper goes over all channels of a namespace, whoever holds them. It archives what lies below the
// group of the oldest message that is needed.
func ExampleAdapter_Sweep() {
	ctx := context.Background()
	a, end := openExample()
	defer end()
	for i := range int64(40) {
		say(ctx, a, i, "hello")
	}
	for id, err := range a.Channels(ctx) {
		check(err)
		done, err := a.Sweep(ctx, id, &sdsaws.SweepOptions{OnlyDue: true}) // they are too few
		fmt.Println(id, done.Messages, err)
		done, err = a.Sweep(ctx, id, nil)
		fmt.Println(id, done.Messages, err)
	}
	// Output:
	// chat 0 <nil>
	// chat 32 <nil>
}
