/* observer/options: a command line is read whole or refused with a sentence that names the
 * option. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/options.h"

#define READ(o, e, ...)                                                                            \
	obs_options_read((int)ARRAY_LEN(((const char *[]){ "tycho-observer", __VA_ARGS__ })),      \
			 (const char *const[]){ "tycho-observer", __VA_ARGS__, NULL }, (o), (e))

static void both_spellings_of_a_value_are_read(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;
	assert_int_equal(READ(&o, &e, "--listen", "localhost:0", "--listen=unix:///x", "--interval",
			      "1s", "--noise", "--drops-everywhere", "--interface", "veth*",
			      "--nflog-group", "5", "--ring-capacity=127", "--stall-timeout=2s"),
			 ERR_OK);
	assert_int_equal(o.serve.listen_count, 2);
	assert_string_equal(o.serve.listen[1], "unix:///x");
	assert_true(o.bpf_config.interval_ns == 1000000000u);
	assert_true(o.bpf_config.noise);
	assert_int_equal(o.bpf_config.drop_scope, BPF_SCOPE_MACHINE);
	assert_string_equal(o.bpf_config.interfaces[0], "veth*");
	assert_int_equal(o.nflog.groups[0], 5);
	assert_int_equal(o.ring_capacity, 127);
	assert_true(o.stall_timeout_ns == 2000000000u);
	assert_true(o.bpf);
}

static void a_source_that_is_named_is_the_only_one(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;
	assert_int_equal(READ(&o, &e, "--source", "hubble"), ERR_OK);
	assert_false(o.bpf);
	assert_string_equal(o.hubble.address, "unix:///var/run/cilium/hubble.sock");
	assert_null(o.hubble.tls);
	assert_int_equal(READ(&o, &e, "--source=hubble", "--source=bpf", "--hubble-server", "r:1"),
			 ERR_OK);
	assert_true(o.bpf);
	assert_string_equal(o.hubble.address, "r:1");
}

static void ciliums_sources_are_read_when_asked_for(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;

	/* a socket that is named takes the place of our own programs, unless these are named too */
	assert_int_equal(READ(&o, &e, "--cilium-monitor", "/m.sock"), ERR_OK);
	assert_true(o.cilium.monitor);
	assert_string_equal(o.cilium.monitor_path, "/m.sock");
	assert_false(o.bpf);
	assert_int_equal(READ(&o, &e, "--cilium-monitor", "/m.sock", "--interface", "veth*"),
			 ERR_OK);
	assert_true(o.cilium.monitor && o.bpf);
	assert_int_equal(READ(&o, &e, "--source", "cilium-monitor", "--source", "bpf"), ERR_OK);
	assert_true(o.cilium.monitor && o.bpf);
	assert_null(o.cilium.monitor_path);
	assert_int_equal(READ(&o, &e, "--source=cilium-perf", "--cilium-take-events",
			      "--cilium-map=/bpf/x", "--cilium-release=1.18"),
			 ERR_OK);
	assert_true(o.cilium.perf && !o.cilium.monitor && !o.bpf);
	assert_int_equal(o.cilium.release, CILIUM_RELEASE_1_18);
	/* only where nobody said anything may the socket take the place by itself */
	assert_int_equal(READ(&o, &e, "--listen", "localhost:0"), ERR_OK);
	assert_true(o.bpf && o.bpf_by_default);
	assert_int_equal(READ(&o, &e, "--noise"), ERR_OK);
	assert_false(o.bpf_by_default);
	assert_int_equal(READ(&o, &e, "--source=bpf"), ERR_OK);
	assert_false(o.bpf_by_default);
	assert_int_equal(READ(&o, &e, "--no-bpf", "--replay", "x"), ERR_OK);
	assert_false(o.bpf_by_default);
}

static void ciliums_perf_buffers_are_not_taken_by_accident(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--source", "cilium-perf"), ERR_INVALID);
	assert_non_null(strstr(e.msg, "--cilium-take-events"));
	assert_non_null(strstr(e.msg, "away from Cilium's agent"));
	assert_int_equal(READ(&o, &e, "--cilium-take-events"), ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--cilium-map", "/x"), ERR_INVALID);
	assert_non_null(strstr(e.msg, "--cilium-map"));
	assert_int_equal(READ(&o, &e, "--cilium-release", "1.17"), ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--source=bpf", "--cilium-monitor=/x"), ERR_INVALID);
}

static void redaction_is_switched_on_before_it_is_refined(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--redact-enabled", "--redact-http-urlquery",
			      "--redact-kafka-apikey", "--redact-http-headers-deny", "Cookie",
			      "--redact-http-userinfo=false"),
			 ERR_OK);
	assert_true(o.cilium.redact.enabled && o.cilium.redact.http_urlquery &&
		    o.cilium.redact.kafka_apikey && !o.cilium.redact.http_userinfo);
	assert_int_equal(o.cilium.redact.deny_count, 1);
	assert_string_equal(o.cilium.headers_deny[0], "Cookie");
	assert_int_equal(READ(&o, &e, "--redact-enabled", "--redact-http-headers-allow",
			      "Accept,X-Request-Id"),
			 ERR_OK);
	static const char *const no_headers[] = {
		"", "A,", "Cookie: x", "A;B", "A B", "Kek\xc3\xa9"
	};
	for (size_t i = 0; i < ARRAY_LEN(no_headers); i++)
		assert_int_equal(READ(&o, &e, "--redact-enabled", "--redact-http-headers-deny",
				      no_headers[i]),
				 ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--redact-http-urlquery"), ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--redact-enabled", "--redact-http-headers-deny", "A",
			      "--redact-http-headers-allow", "B"),
			 ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--redact-enabled", "--redact-http-userinfo", "maybe"),
			 ERR_INVALID);
}

static void a_hubble_server_is_one_source_more(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;
	assert_int_equal(READ(&o, &e, "--hubble-server", "relay:4245", "--hubble-ca-file", "a.pem",
			      "--hubble-ca-file", "b.pem", "--hubble-cert-file", "c.pem",
			      "--hubble-key-file", "k.pem", "--hubble-tls-name", "x.relay",
			      "--hubble-history", "30m"),
			 ERR_OK);
	assert_true(o.bpf);
	assert_ptr_equal(o.hubble.tls, &o.hubble_tls);
	assert_int_equal(o.hubble_tls.ca_file_count, 2);
	assert_string_equal(o.hubble_tls.ca_files[1], "b.pem");
	assert_string_equal(o.hubble_tls.server_name, "x.relay");
	assert_true(o.hubble.history_ns == 1800 * NS_PER_S);
}

static void history_is_kept_for_a_week_unless_told_otherwise(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--noise"), ERR_OK);
	assert_null(o.store_dir);
	assert_false(o.store_off);
	assert_true(o.store.retention_ns == 7 * 86400 * NS_PER_S);
	assert_true(o.store.retention_bytes == UINT64_C(10) << 30);
	assert_int_equal(READ(&o, &e, "--store=/data", "--retention", "36h", "--retention-size=2T",
			      "--retention-edges", "90d", "--seal-period=250ms"),
			 ERR_OK);
	assert_string_equal(o.store_dir, "/data");
	assert_true(o.store.retention_ns == 36 * 3600 * NS_PER_S);
	assert_true(o.store.retention_bytes == UINT64_C(2) << 40);
	assert_true(o.store.edges_retention_ns == 90 * 86400 * NS_PER_S);
	assert_true(o.store.seal_ns == 250 * NS_PER_MS);
	assert_int_equal(READ(&o, &e, "--retention=0", "--retention-size=0"), ERR_OK);
	assert_true(o.store.retention_ns == 0 && o.store.retention_bytes == 0);
	assert_int_equal(READ(&o, &e, "--store", "off"), ERR_OK);
	assert_true(o.store_off);
	/* the first size that is too small, the first that will do, and what cannot be said in 64
	 * bits */
	assert_int_equal(READ(&o, &e, "--retention-size", "16383K"), ERR_INVALID);
	assert_int_equal(READ(&o, &e, "--retention-size", "16384K"), ERR_OK);
	assert_int_equal(READ(&o, &e, "--retention-size", "9000000P"), ERR_INVALID);
	static const char *const bad[] = { "--retention=59s",           "--retention=7",
					   "--retention=-7d",           "--retention=d",
					   "--retention-size=",         "--retention-size=10Gi",
					   "--clickhouse-period=999ms", "--seal-period=99ms",
					   "--seal-period=61s",         "--store=",
					   "--retention-edges=59m" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(READ(&o, &e, bad[i]), ERR_INVALID);
		assert_memory_equal(e.msg, bad[i], strcspn(bad[i], "="));
	}
}

static void misuse_is_one_sentence_that_names_the_option(void **state)
{
	(void)state;
	static const struct {
		const char *argv[6];
		const char *named;
	} cases[] = {
		{ { "x", "--bogus" }, "--bogus" },
		{ { "x", "stray" }, "stray" },
		{ { "x", "--listen" }, "--listen" },
		{ { "x", "--noise=yes" }, "--noise" },
		{ { "x", "--interval", "soon" }, "--interval" },
		{ { "x", "--interval", "1ms" }, "--interval" },
		{ { "x", "--stall-timeout", "0s" }, "--stall-timeout" },
		{ { "x", "--nflog-group", "70000" }, "--nflog-group" },
		{ { "x", "--ring-capacity", "-1" }, "--ring-capacity" },
		{ { "x", "--replay-speed", "nan" }, "--replay-speed" },
		{ { "x", "--log-level", "loud" }, "--log-level" },
		{ { "x", "--node-label", "noequals" }, "--node-label" },
		{ { "x", "--tls-cert-file", "c" }, "--tls-key-file" },
		{ { "x", "--tls-client-ca-file", "c" }, "--tls-cert-file" },
		{ { "x", "--nflog-pattern", "a" }, "--nflog-group" },
		{ { "x", "--no-bpf" }, "--no-bpf" },
		{ { "x", "--kubeconfig", "f" }, "--kubernetes" },
		{ { "x", "--kubernetes", "--kube-context", "c" }, "--kubeconfig" },
		{ { "x", "--source", "kernel" }, "--source" },
		{ { "x", "--source", "nflog" }, "--nflog-group" },
		{ { "x", "--source", "hubble", "--replay", "-" }, "--replay" },
		{ { "x", "--source", "bpf", "--no-bpf" }, "--no-bpf" },
		{ { "x", "--hubble-history", "-1s" }, "--hubble-history" },
		{ { "x", "--hubble-server", "a:1", "--hubble-cert-file", "c" },
		  "--hubble-key-file" },
		{ { "x", "--checkpoint-to=syslog", "--checkpoint-key-file=k" },
		  "--checkpoint-cert-file" },
		{ { "x", "--hubble-ca-file", "c" }, "--hubble-server" },
		{ { "x", "--replay", "-", "--replay-repeat", "2" }, "--replay-repeat" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[7] = { 0 };
		int argc = 0;
		for (; argc < 6 && cases[i].argv[argc]; argc++)
			argv[argc] = cases[i].argv[argc];
		struct obs_options o;
		struct err e;
		assert_int_equal(obs_options_read(argc, argv, &o, &e), ERR_INVALID);
		assert_non_null(strstr(e.msg, cases[i].named));
		assert_null(strchr(e.msg, '\n'));
	}
}

static void what_does_nothing_by_itself_is_refused_without_what_it_needs(void **state)
{
	(void)state;
	static const struct {
		const char *argv[6];
		const char *sentence;
	} cases[] = {
		{ { "x", "--replay-repeat", "2" }, "--replay-repeat needs --replay" },
		{ { "x", "--replay-speed", "0" }, "--replay-speed needs --replay" },
		{ { "x", "--replay-keep-time" }, "--replay-keep-time needs --replay" },
		{ { "x", "--checkpoint-ca-file=c" }, "--checkpoint-ca-file needs --checkpoint-to" },
		{ { "x", "--clickhouse-user=u" }, "--clickhouse-user needs --clickhouse" },
		{ { "x", "--clickhouse-period=5s" }, "--clickhouse-period needs --clickhouse" },
		{ { "x", "--store=off", "--clickhouse=http://ch" },
		  "--clickhouse needs a store: it contradicts --store off" },
		{ { "x", "--checkpoint-cert-file=c", "--checkpoint-key-file=k" },
		  "--checkpoint-cert-file needs --checkpoint-to" },
		{ { "x", "--store=off", "--checkpoint-to=syslog" },
		  "--checkpoint-to needs a store: it contradicts --store off" },
		{ { "x", "--evidence-key", "k", "--store", "off" },
		  "--evidence-key needs a store: it contradicts --store off" },
		{ { "x", "--store=off", "--retention=0" },
		  "--retention needs a store: it contradicts --store off" },
		{ { "x", "--store=off", "--retention-edges=400d" },
		  "--retention-edges needs a store: it contradicts --store off" },
		{ { "x", "--store=off", "--retention-size=10G" },
		  "--retention-size needs a store: it contradicts --store off" },
		{ { "x", "--store=off", "--seal-period=1s" },
		  "--seal-period needs a store: it contradicts --store off" },
		{ { "x", "--export-allowlist={}" }, "--export-allowlist needs --export-file-path" },
		{ { "x", "--flowlogs-config-path=f", "--export-file-max-backups=5" },
		  "--export-file-max-backups needs --export-file-path" },
		{ { "x", "--export-file-path=f", "--export-fieldaggregate=time" },
		  "--export-fieldaggregate needs --export-aggregation-interval" },
		{ { "x", "--export-file-path=f", "--export-aggregation-interval=1s" },
		  "--export-aggregation-interval needs --export-fieldaggregate" },
		{ { "x", "--metrics-listen=:1", "--metrics-series=20000" },
		  "--metrics-series needs --metrics or --metrics-config" },
		{ { "x", "--source=bpf", "--cilium-release=auto" },
		  "--cilium-release needs --source cilium-monitor or cilium-perf" },
		{ { "x", "--interface=a", "--cilium-release=1.19" },
		  "--cilium-release needs --source cilium-monitor or cilium-perf" },
		{ { "x", "--source=hubble", "--redact-enabled" },
		  "--redact-enabled needs --source cilium-monitor or cilium-perf" },
		{ { "x", "--cilium-map=m", "--source=cilium-monitor" },
		  "--cilium-map needs --source cilium-perf" },
		{ { "x", "--cilium-take-events", "--source=cilium-monitor" },
		  "--cilium-take-events needs --source cilium-perf" },
		{ { "x", "--hubble-history=1h" },
		  "--hubble-history needs --hubble-server or --source hubble" },
		{ { "x", "--hubble-tls" },
		  "--hubble-tls needs --hubble-server or --source hubble" },
		{ { "x", "--hubble-tls-name=n" },
		  "--hubble-tls-name needs --hubble-server or --source hubble" },
		{ { "x", "--source=hubble", "--hubble-cert-file=c", "--hubble-key-file=k" },
		  "--hubble-cert-file needs --hubble-tls" },
		{ { "x", "--policies=p", "--kubeconfig=f" }, "--kubeconfig needs --kubernetes" },
		{ { "x", "--policy-meaning=cilium" },
		  "--policy-meaning needs --policies or --kubernetes" },
		{ { "x", "--nflog-default=deny" },
		  "--nflog-default needs --nflog-group or --kernel-log" },
		{ { "x", "--no-bpf", "--replay=r", "--interface=a" },
		  "--interface needs the kernel programs, which --no-bpf or another --source "
		  "leaves out" },
		{ { "x", "--source=hubble", "--interval=5s" }, "--interval needs the kernel" },
		{ { "x", "--source=hubble", "--noise" }, "--noise needs the kernel" },
		{ { "x", "--source=hubble", "--drops-everywhere" },
		  "--drops-everywhere needs the kernel" },
	};
	/* The same options where they do something. */
	static const char *const welcome[][6] = {
		{ "x", "--replay=r", "--replay-speed", "0" },
		{ "x", "--metrics=flow", "--metrics-series=64", "--evidence-key=k" },
		{ "x", "--export-file-path=f", "--export-denylist={}", "--export-file-compress",
		  "--export-file-max-size-mb=1" },
		{ "x", "--export-file-path=f", "--export-fieldaggregate=time",
		  "--export-aggregation-interval=1s" },
		{ "x", "--metrics-config=f", "--metrics-series=64", "--seal-period=1s" },
		/* the agent's socket may be there, or not: who knows before the start? */
		{ "x", "--cilium-release=1.19", "--redact-enabled", "--nflog-group=5" },
		{ "x", "--interval=5s", "--cilium-monitor=/s", "--redact-enabled" },
		{ "x", "--source=hubble", "--hubble-history=1h", "--hubble-tls" },
		{ "x", "--policies=p", "--policy-meaning=kubernetes" },
		{ "x", "--kubernetes", "--policy-meaning=cilium", "--kubeconfig=f" },
		{ "x", "--kernel-log=k", "--nflog-default=deny", "--nflog-pattern=a" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases) + ARRAY_LEN(welcome); i++) {
		bool bad = i < ARRAY_LEN(cases);
		const char *const *argv = bad ? cases[i].argv : welcome[i - ARRAY_LEN(cases)];
		int argc = 0;
		struct obs_options o;
		struct err e = { .code = ERR_OK };
		while (argc < 6 && argv[argc])
			argc++;
		assert_int_equal(obs_options_read(argc, argv, &o, &e), bad ? ERR_INVALID : ERR_OK);
		if (bad)
			assert_memory_equal(e.msg, cases[i].sentence, strlen(cases[i].sentence));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_spellings_of_a_value_are_read),
		cmocka_unit_test(a_source_that_is_named_is_the_only_one),
		cmocka_unit_test(ciliums_sources_are_read_when_asked_for),
		cmocka_unit_test(ciliums_perf_buffers_are_not_taken_by_accident),
		cmocka_unit_test(redaction_is_switched_on_before_it_is_refined),
		cmocka_unit_test(a_hubble_server_is_one_source_more),
		cmocka_unit_test(history_is_kept_for_a_week_unless_told_otherwise),
		cmocka_unit_test(misuse_is_one_sentence_that_names_the_option),
		cmocka_unit_test(what_does_nothing_by_itself_is_refused_without_what_it_needs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
