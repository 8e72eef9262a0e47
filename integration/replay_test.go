// Package integration tests everything against LocalStack.
package integration_test

import (
	"context"
	"crypto/rand"
	"errors"
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
	"github.com/sdsaws/sdsaws/internal/permission"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

var (
	cfg      aws.Config
	dynamoDB string // the endpoint of LocalStack's DynamoDB Local, if it is known
)

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
	dynamoDB = i.DynamoDB
	if cfg, err = i.Config(ctx); err == nil {
		var actions permission.Actions
		cfg.APIOptions = append(cfg.APIOptions, actions.Record)
		code = m.Run()
		err = noneLacks(&actions)
	}
	if built := functionsDir; built != "" {
		err = errors.Join(err, os.RemoveAll(built))
	}
	if stopped := i.Close(ctx); err == nil {
		err = stopped
	}
	return code, err
}

// noneLacks holds the actions that all tests together have needed against the roles' policies;
// TestEachRoleNeedsItsPolicy does it for each role, and finds what is granted in vain.
func noneLacks(actions *permission.Actions) error {
	lacking, needed, err := actions.Lacking()
	if len(lacking) > 0 {
		err = errors.Join(err, fmt.Errorf("no role in internal/permission may %s", strings.Join(lacking, ", ")))
	}
	fmt.Fprintf(os.Stderr, "integration: %d AWS actions were needed, %d of them are in no policy\n", needed, len(lacking))
	return err
}

type onAWS struct {
	*dynamo.Log
	hints
	archive store.Archive
	names   string // what the names of the tables begin with
	bucket  string
}

func (o onAWS) Archive() store.Archive { return o.archive }

func (o onAWS) backend() sdsaws.Backend {
	return sdsaws.Backend{Log: o.Log, Hints: o.hints, Archive: o.archive}
}

type hints = store.Hints

// resources makes two new tables and a versioned bucket and returns a backend over them.
func resources(t *testing.T, o *dynamo.Options) onAWS {
	t.Helper()
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	name := "it-" + strings.ToLower(rand.Text())
	if _, err := dynamo.CreateTables(t.Context(), client, name+"-state", name+"-hints"); err != nil {
		t.Fatal(err)
	}
	b := bucket(t, true)
	return onAWS{dynamo.NewLog(client, name+"-state", o), dynamo.NewHints(client, name+"-hints", o),
		s3archive.New(newS3(), b, nil), name, b}
}

// TestTrafficLoadsAsItWasSaved replays the recordings and the synthetic traces of this
// repository, and those in the directory that SDSAWS_TRACES names.
func TestTrafficLoadsAsItWasSaved(t *testing.T) {
	var files []string
	places := map[string]int{"../internal/recorded/*.jsonl.zst": 5, "../internal/trace/testdata/*.jsonl": 8}
	if dir := os.Getenv("SDSAWS_TRACES"); dir != "" {
		places[filepath.Join(dir, "*.jsonl*")] = 1
	}
	for pattern, least := range places {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < least {
			t.Fatalf("%s: traces %q, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	b := resources(t, nil)
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
				Namespace: t.Name(), Lag: time.Second, ArchiveMessages: 100}).Run(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := got.Wrong(); wrong != "" {
				t.Fatalf("%s: %+v", wrong, got)
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
