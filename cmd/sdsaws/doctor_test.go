package main

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// strict is an AWS that knows who asks, has a clock that goes wrong, and allows nothing.
func strict(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // of STS; others have no form
	w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
	switch target := r.Header.Get("X-Amz-Target"); {
	case target != "":
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		const refused = `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(refused))))
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, refused)
	case r.Form.Get("Action") == "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:role/alice</Arn>`+
			`<UserId>a</UserId><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	default:
		w.WriteHeader(http.StatusForbidden)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
		}
	}
}

// TestTheDoctorSaysWhatIsNotAllowed, request by request, and that the clock goes wrong.
func TestTheDoctorSaysWhatIsNotAllowed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(strict))
	defer server.Close()
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"} {
		t.Setenv(k, v)
	}
	var out strings.Builder
	cmd := rootCommand()
	cmd.SetOut(&out)
	cmd.SetErr(t.Output())
	cmd.SetArgs([]string{"doctor", "--backend", "aws:state=s,hints=h,bucket=b"})
	if err := cmd.ExecuteContext(t.Context()); err == nil {
		t.Error("no error")
	}
	lines := strings.Split(out.String(), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "fail") && !strings.Contains(lines[i+1], "->") {
			t.Errorf("it doesn't say what to do: %s", l)
		}
	}
	// Columns don't matter.
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"ok identity arn:aws:iam::1:role/alice",
		"fail clock this machine's is 10m",
		"warn state table not allowed to look -> allow dynamodb:DescribeTable",
		"warn hints table not allowed to look",
		"warn bucket not allowed to look -> allow s3:ListBucket",
		"warn bucket: versions not allowed to look -> allow s3:GetBucketVersioning",
		"warn bucket: public access not allowed",
		"warn bucket: encryption not allowed",
		"warn bucket: lifecycle not allowed",
		"fail may dynamodb:GetItem not allowed -> allow it to this role: docs/security.md, section 4",
		"fail may dynamodb:Query not allowed",
		"fail may dynamodb:BatchGetItem not allowed",
		"fail may dynamodb:PutItem not allowed",
		"fail may dynamodb:ConditionCheckItem not allowed",
		"fail may dynamodb:UpdateItem not allowed",
		"fail may dynamodb:DeleteItem not allowed",
		"fail may dynamodb:BatchGetItem on hints not allowed",
		"fail may dynamodb:BatchWriteItem on hints not allowed",
		"warn may dynamodb:Query on index/channels not allowed -> allow it to sweepers",
		"fail may s3:ListBucketVersions not allowed",
		"warn may s3:ListBucket not allowed",
		"fail round trip commit: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestATableIsUsedWithItsIndexes(t *testing.T) {
	index := func(s ddb.IndexStatus) []ddb.GlobalSecondaryIndexDescription {
		return []ddb.GlobalSecondaryIndexDescription{{IndexName: aws.String("channels"), IndexStatus: s}}
	}
	for _, c := range []struct {
		table ddb.TableDescription
		want  bool
	}{
		{ddb.TableDescription{TableStatus: ddb.TableStatusActive}, true},
		{ddb.TableDescription{TableStatus: ddb.TableStatusUpdating}, false},
		{ddb.TableDescription{TableStatus: ddb.TableStatusActive, GlobalSecondaryIndexes: index(ddb.IndexStatusActive)}, true},
		{ddb.TableDescription{TableStatus: ddb.TableStatusActive, GlobalSecondaryIndexes: index(ddb.IndexStatusCreating)}, false},
	} {
		if text, got := tableParts(&c.table); got != c.want {
			t.Errorf("%s%s: %v", c.table.TableStatus, text, got)
		}
	}
}
