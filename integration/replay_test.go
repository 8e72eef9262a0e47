// Package integration tests everything against LocalStack.
package integration_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/integration/localstack"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/store"
)

var cfg aws.Config

func TestMain(m *testing.M) {
	code, err := withLocalStack(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "integration: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func withLocalStack(m *testing.M) (code int, err error) {
	ctx := context.Background()
	i, err := localstack.Start(ctx)
	if err != nil {
		return 1, err
	}
	if cfg, err = i.Config(ctx); err == nil {
		code = m.Run()
	}
	if stopped := i.Close(ctx); err == nil {
		err = stopped
	}
	return code, err
}

type onAWS struct {
	*dynamo.Log
	hints
}

type hints = store.Hints

// tables makes two new tables and returns a backend over them.
func tables(t *testing.T, o *dynamo.Options) onAWS {
	t.Helper()
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	name := "it-" + strings.ToLower(rand.Text())
	if _, err := dynamo.CreateTables(t.Context(), client, name+"-state", name+"-hints"); err != nil {
		t.Fatal(err)
	}
	return onAWS{dynamo.NewLog(client, name+"-state", o), dynamo.NewHints(client, name+"-hints", o)}
}

// TestRecordedTrafficLoadsAsItWasSaved replays the recordings of this repository and those
// in the directory that SDSAWS_TRACES names.
func TestRecordedTrafficLoadsAsItWasSaved(t *testing.T) {
	files, err := filepath.Glob("../internal/recorded/*.jsonl.zst")
	if err != nil || len(files) < 3 {
		t.Fatalf("recordings %v, %v", files, err)
	}
	if dir := os.Getenv("SDSAWS_TRACES"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.jsonl*"))
		if err != nil || len(more) == 0 {
			t.Fatalf("SDSAWS_TRACES=%s has no traces: %v", dir, err)
		}
		files = append(files, more...)
	}
	b := tables(t, nil)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r, err := trace.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := replay.NewPlayer(filepath.Base(file), b, replay.Options{
				Namespace: t.Name(), Lag: time.Second}).Run(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got.Loads == 0 || got.LoadsMatched != got.Loads {
				t.Fatalf("%d of %d loads matched: %+v", got.LoadsMatched, got.Loads, got.Mismatches)
			}
		})
	}
}

// TestTablesWithOtherKeysAreRefused: what exists is never taken for something else.
func TestTablesWithOtherKeysAreRefused(t *testing.T) {
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	name := "it-" + strings.ToLower(rand.Text())
	if _, err := dynamo.CreateTables(t.Context(), client, name+"-state", name+"-hints"); err != nil {
		t.Fatal(err)
	}
	created, err := dynamo.CreateTables(t.Context(), client, name+"-state", name+"-hints")
	if err != nil || len(created) != 0 {
		t.Fatalf("a second time: %v, %v", created, err)
	}
	if _, err := dynamo.CreateTables(t.Context(), client, name+"-hints", name+"-new"); err == nil {
		t.Fatal("the hints table was taken for a state table")
	}
}
