import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTLS
import HummingbirdTesting
import InMemoryTracing
import JSONText
import Logging
import Metrics
import Synchronization
import TestSupport
import Testing
import Tracing

@testable import Gemma4Kit
@testable import Gemma4Server
@testable import Generation

@Test func keysLetIn() async throws {
    let directory = try TemporaryDirectory()
    let file = URL(filePath: try directory.write(Array("# ours\n  first \n\nsecond\n".utf8), to: "keys"))
    let keys = try APIKeys(contentsOf: file)
    let served = try Served { $0.keys = keys }
    func status(_ headers: HTTPFields, _ uri: String = "/v1/models") async throws -> Int {
        try await served.test { try await $0.execute(uri: uri, method: .get, headers: headers).status.code }
    }
    let apiKey = HTTPField.Name("x-api-key")!
    #expect(try await status([:]) == 401)
    #expect(try await status([:], "/health") == 200)
    #expect(try await status([:], "/metrics") == 401)
    #expect(try await status([.authorization: "Bearer first"]) == 200)
    #expect(try await status([apiKey: "second"]) == 200)
    #expect(try await status([.authorization: "Bearer firs"]) == 401)
    #expect(try await status([.authorization: "Bearer # ours"]) == 401)
    #expect(try await status([.authorization: "Basic first"]) == 401)
    let refused = try await served.test { try await $0.execute(uri: "/v1/models", method: .get) }
    #expect(try refused.json["error"]?["type"] == "authentication_error")
    try Data("third\n".utf8).write(to: file)
    #expect(try keys.reload() == 1)
    #expect(try await status([.authorization: "Bearer first"]) == 401)
    #expect(try await status([.authorization: "Bearer third"]) == 200)
    try Data("\n# nothing\n".utf8).write(to: file)
    #expect(throws: APIKeyError.self) { try keys.reload() }
    #expect(try await status([.authorization: "Bearer third"]) == 200)
}

/// A key's line may set batch priority; any other suffix is an error.
@Test func keysHavePriorities() throws {
    let directory = try TemporaryDirectory()
    let file = URL(filePath: try directory.write(Array("people\n jobs   batch \n".utf8), to: "keys"))
    let keys = try APIKeys(contentsOf: file)
    #expect(try keys.client([.authorization: "Bearer people"]).priority == .interactive)
    #expect(try keys.client([.authorization: "Bearer jobs"]).priority == .batch)
    #expect(throws: WireError.self) { try keys.client([.authorization: "Bearer batch"]) }
    try Data("people\n\njobs later\n".utf8).write(to: file)
    let error = #expect(throws: APIKeyError.self) { try keys.reload() }
    #expect(error?.description == "\(file.path): line 3: expected a key, and batch or nothing behind it")
    #expect(try keys.client([.authorization: "Bearer jobs"]).priority == .batch)
}

/// A key has a share, batch keys leave a quarter free, and released places can be taken again.
@Test func placesAreShared() throws {
    let admission = Admission(places: 8, perClient: 3)
    let (one, other) = (Client(id: "a", priority: .interactive), Client(id: "b", priority: .interactive))
    let (batch, more) = (Client(id: "c", priority: .batch), Client(id: "d", priority: .batch))
    func refusal(_ count: Int, _ client: Client?) -> WireError? {
        do throws(WireError) {
            _ = try admission.enter(count, of: client)
            return nil
        } catch { return error }
    }
    let first = try admission.enter(2, of: one)
    #expect(refusal(2, one)?.status == .tooManyRequests)
    #expect(refusal(2, one)?.message.contains("as one key may have; try again in") == true)
    #expect(refusal(1, one) == nil && refusal(4, one)?.status == .badRequest)
    first.leave()
    let (held, held2) = (try admission.enter(3, of: batch), try admission.enter(3, of: more))
    #expect(admission.taken == 6)
    #expect(refusal(1, Client(id: "e", priority: .batch))?.message.contains("as batch keys may have") == true)
    #expect(refusal(2, other) == nil && refusal(2, nil) == nil && refusal(3, nil)?.status == .tooManyRequests)
    held.leave()
    held2.leave()
    #expect(admission.taken == 0 && refusal(3, batch) == nil)
}

/// One key's requests beyond its share are refused over HTTP, those of others are not; a request can yield of itself.
@Test func oneKeyDoesNotTakeAll() async throws {
    let directory = try TemporaryDirectory()
    let file = URL(filePath: try directory.write(Array("one\nother batch\n".utf8), to: "keys"))
    let keys = try APIKeys(contentsOf: file)
    let served = try Served {
        $0.keys = keys
        $0.answersPerKey = 1
    }
    let body: JSONValue = ["messages": [["role": "user", "content": "a"]], "max_tokens": 2]
    func status(_ key: String) async throws -> Int {
        try await served.post("/v1/chat/completions", body, headers: [.authorization: "Bearer \(key)"]).status.code
    }
    let places = try served.server.admission.enter(1, of: try keys.client([.authorization: "Bearer one"]))
    #expect(try await status("one") == 429)
    #expect(try await status("other") == 200)
    places.leave()
    #expect(try await status("one") == 200)
    func priority(_ tier: JSONValue) throws -> GenerationOptions.Priority {
        let fields = RequestFields(
            value: ["messages": [["role": "user", "content": "a"]], "service_tier": tier])
        return try AnswerRequest(chat: fields, served.server.options, sampling: .greedy).generation.priority
    }
    #expect(try priority("flex") == .batch && priority("auto") == .interactive)
}

@Test func originsAreRefusedUnlessNamed() async throws {
    let headers: HTTPFields = [.origin: "https://a.example", .accessControlRequestMethod: "POST"]
    let closed = try Served()
    try await closed.test { client in
        let response = try await client.execute(uri: "/v1/models", method: .get, headers: headers)
        #expect(response.headers[.accessControlAllowOrigin] == nil)
    }
    let open = try Served { $0.origins = ["https://a.example"] }
    try await open.test { client in
        let asked = try await client.execute(uri: "/v1/chat/completions", method: .options, headers: headers)
        #expect(asked.status == .noContent && asked.headers[.accessControlAllowOrigin] == "https://a.example")
        let got = try await client.execute(uri: "/v1/models", method: .get, headers: headers)
        #expect(got.headers[.accessControlAllowOrigin] == "https://a.example" && got.headers[.vary] == "Origin")
        let other = try await client.execute(uri: "/v1/models", method: .get, headers: [.origin: "https://b.example"])
        #expect(other.headers[.accessControlAllowOrigin] == nil)
    }
}

@Test func metricsAreCounted() async throws {
    let served = try Served()
    let body: JSONValue = ["messages": [["role": "user", "content": "one"]], "max_tokens": 5, "temperature": 0]
    let text = try await served.test { client in
        for _ in 0..<2 { _ = try await client.post("/v1/chat/completions", body) }
        for method in [HTTPRequest.Method.get, .init("MADEUP")!] {
            _ = try await client.execute(uri: "/v1/secret/of/somebody", method: method)
        }
        return try await client.execute(uri: "/metrics", method: .get).text
    }
    let lines = Set(text.split(separator: "\n").map(String.init))
    let labels = #"{method="POST",path="/v1/chat/completions",status="200"}"#
    #expect(lines.contains("http_requests_total\(labels) 2"), "\(text)")
    #expect(lines.contains(#"http_request_duration_seconds_count{path="/v1/chat/completions"} 2"#))
    #expect(lines.contains(#"http_request_duration_seconds_bucket{path="/v1/chat/completions",le="+Inf"} 2"#))
    #expect(lines.contains("gemma4_generated_tokens_total 10") && lines.contains("gemma4_answers_running 0"))
    #expect(lines.contains("# TYPE http_requests_total counter") && !text.contains("secret"))
    #expect(lines.contains(#"http_requests_total{method="other",path="NotFound",status="404"} 1"#), "\(text)")
    #expect(text.components(separatedBy: "# TYPE http_requests_total ").count == 2)
}

/// Every kind of metric of swift-metrics as Prometheus' text.
@Test func metricsHaveTheTextOfPrometheus() {
    let metrics = PrometheusMetrics()
    Counter(label: "a.count", dimensions: [("who", "x\"y\\z\n")], factory: metrics).increment(by: 3)
    Counter(label: "a.count", dimensions: [("who", "b")], factory: metrics).increment()
    Gauge(label: "level", factory: metrics).record(1.5)
    Meter(label: "meter", factory: metrics).set(4)
    Metrics.Timer(label: "wait", factory: metrics).recordNanoseconds(300_000_000)
    #expect(
        metrics.text.hasPrefix(
            """
            # TYPE a_count counter
            a_count{who="b"} 1
            a_count{who="x\\"y\\\\z\\n"} 3
            # TYPE level gauge
            level 1.5
            # TYPE meter gauge
            meter 4
            # TYPE wait histogram
            wait_bucket{le="0.005"} 0

            """))
    #expect(metrics.text.contains("wait_bucket{le=\"0.25\"} 0\nwait_bucket{le=\"0.5\"} 1\n"))
    #expect(metrics.text.hasSuffix("wait_bucket{le=\"+Inf\"} 1\nwait_sum 0.3\nwait_count 1\n"))
}

/// One span per request, within the client's trace, with its usage.
@Test(arguments: [false, true])
func requestsHaveSpans(stream: Bool) async throws {
    let tracer = InMemoryTracer()
    let served = try Served(tracer: tracer)
    let body: JSONValue = [
        "messages": [["role": "user", "content": "geheimnis"]], "max_tokens": 5, "temperature": 0,
        "ignore_eos": true, "n": 2, "stream": .boolean(stream),
    ]
    let headers: HTTPFields = [
        .init(InMemoryTracer.traceIDKey)!: "theirs", .init(InMemoryTracer.spanIDKey)!: "their-span",
    ]
    let response = try await served.post("/v1/chat/completions", body, headers: headers)
    _ = try await served.test { try await $0.execute(uri: "/v1/secret", method: .get) }
    let spans = tracer.finishedSpans
    #expect(spans.map(\.operationName) == ["POST /v1/chat/completions", "GET NotFound"])
    #expect(spans.allSatisfy { $0.kind == .server } && tracer.activeSpans.isEmpty)
    #expect(spans[0].traceID == "theirs" && spans[0].parentSpanID == "their-span")
    let attributes = spans[0].attributes
    func value(_ name: String) -> SpanAttribute? { attributes.get(name) }
    #expect(value("http.response.status_code") == .int64(200))
    #expect(value("http.route") == .string("/v1/chat/completions"))
    #expect(value("gemma4.request_id") == .string(try #require(response.headers[.init("X-Request-Id")!])))
    #expect(value("gen_ai.request.model") == .string("tiny") && value("gen_ai.usage.output_tokens") == .int64(10))
    #expect(value("gen_ai.response.finish_reasons") == .stringArray(["length", "length"]))
    let prompt = try await served.pipeline.prompt([ChatMessage(.user, "geheimnis")])
    #expect(value("gen_ai.usage.input_tokens") == .int64(Int64(prompt.tokens.count)))
    #expect(spans[1].attributes.get("http.response.status_code") == .int64(404))
    #expect(!"\(attributes)".contains("geheimnis"))
}

/// One JSON line per request, without its content.
@Test func requestsAreLoggedAsJSON() async throws {
    let lines = Mutex<[String]>([])
    let logger = Logger(label: "test") { JSONLog(label: $0) { line in lines.withLock { $0.append(line) } } }
    let served = try Served(logger: logger)
    let body: JSONValue = ["messages": [["role": "user", "content": "geheimnis"]], "max_tokens": 5]
    let response = try await served.post("/v1/chat/completions", body)
    let text = lines.withLock { $0.joined() }
    let entries = try text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    let entry = try #require(entries.first { $0["message"] == "POST /v1/chat/completions" })
    #expect(entry["status"] == 200 && entry["level"] == "info" && entry["logger"] == "test")
    #expect(entry["request"] == .string(try #require(response.headers[.init("X-Request-Id")!])))
    #expect(entry["seconds"]!.double! > 0 && !text.contains("geheimnis"))
    let time = try #require(entry["time"]?.string)
    #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
}

/// Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
/// -addext subjectAltName=DNS:localhost`.
private let certificate = """
    -----BEGIN CERTIFICATE-----
    MIIBljCCATugAwIBAgIUL5KdrfoW5YyDuExcrmKBysvUdvYwCgYIKoZIzj0EAwIw
    FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDE0MDcyN1oYDzIxMjYxMTA2
    MTQwNzI3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
    PQMBBwNCAASvMCB0VoKAqysO0Wqj5orP0f5NN1unzrIQPRpiPqBbteCC3Fw55Jm8
    dbxJuhPT22+7oKbNC9qD/aCogTuPT46Lo2kwZzAdBgNVHQ4EFgQUM0aQcd8IrCIZ
    h/LYU8SDEu2TsH0wHwYDVR0jBBgwFoAUM0aQcd8IrCIZh/LYU8SDEu2TsH0wDwYD
    VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
    SQAwRgIhANfdTAsNmrDHUEtFWeF5/3uRzcbGP2yyuDnqgcKAxZ5xAiEArXZJTdlM
    cvoHQqGE3cvArKtqhbICJ33so9rudeh+sUg=
    -----END CERTIFICATE-----
    """
private let certificateKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZT6/AQ3Rwz0vnIDz
    fk1M5VRPMQBJiBqa1N45jbuCrCqhRANCAASvMCB0VoKAqysO0Wqj5orP0f5NN1un
    zrIQPRpiPqBbteCC3Fw55Jm8dbxJuhPT22+7oKbNC9qD/aCogTuPT46L
    -----END PRIVATE KEY-----
    """

@Test func certificatesFromFilesAreSpokenWith() async throws {
    let directory = try TemporaryDirectory()
    let chain = URL(filePath: try directory.write(Array(certificate.utf8), to: "chain.pem"))
    let key = URL(filePath: try directory.write(Array(certificateKey.utf8), to: "key.pem"))
    let served = try Served { $0.certificate = ServerCertificate(chain: chain, key: key) }
    try await served.test(.live) { client in
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(chain.path))
        let own = TestClient(
            host: "127.0.0.1", port: client.port!,
            configuration: .init(tlsConfiguration: configuration, serverName: "localhost"))
        own.connect()
        let response = try await own.get("/health")
        #expect(response.status == .ok)
        try await own.shutdown()
    }
    let wrong = try Served { $0.certificate = ServerCertificate(chain: chain, key: chain) }
    #expect(throws: CertificateError.self) { try wrong.server.application() }
}

private let wide = Goldens.folder.appending(path: "attachments/wide.png").path

private func dataURL(_ file: String) throws -> JSONValue {
    .string("data:image/png;base64," + (try Data(contentsOf: URL(filePath: file)).base64EncodedString()))
}

@Test func thePageShowsWhatTheModelGets() async throws {
    let served = try Served()
    let response = try await served.post(
        "/v1/images/seen", ["image": try dataURL(wide), "max_soft_tokens": 70])
    let seen = try response.json
    let pixels = try ImageInput.file(URL(filePath: wide)).pixels()
    let fit = try served.pipeline.fit(.pixels(pixels), maxTokens: 70)
    #expect(seen["width"]?.integer == pixels.width && seen["height"]?.integer == pixels.height)
    #expect(seen["soft_tokens"]?.integer == fit.softTokens && seen["max_soft_tokens"]?.integer == 70)
    let image = try #require(seen["image"]?.string)
    let bytes = [UInt8](try #require(Data(base64Encoded: String(image.dropFirst("data:image/bmp;base64,".count)))))
    // The pixels of the file are those of which the patches are made.
    let patches = try served.pipeline.imageProcessor(maxTokens: 70)(
        width: pixels.width, height: pixels.height, rgb: pixels.rgb)
    let patch = try #require(seen["patch_size"]?.integer)
    let line = (fit.seenWidth * 3 + 3) / 4 * 4
    #expect(bytes.count == 54 + line * fit.seenHeight)
    for (x, y) in [(0, 0), (patch, 1), (fit.seenWidth - 1, fit.seenHeight - 1)] {
        let row = y / patch * patches.grid.columns + x / patch
        let value = row * patch * patch * 3 + (y % patch * patch + x % patch) * 3
        let stored = 54 + y * line + x * 3
        let rgb = (0..<3).map { UInt8((patches.values[value + $0] * 255).rounded()) }
        #expect(rgb == [bytes[stored + 2], bytes[stored + 1], bytes[stored]], "\(x), \(y)")
    }
    let refused = try await served.post("/v1/images/seen", ["image": try dataURL(wide), "max_soft_tokens": 71])
    #expect(refused.status == .badRequest)
    #expect(try refused.json["error"]?["param"] == "max_soft_tokens")
}

@Test func picturesAndPromptsHaveLimits() async throws {
    let question: (JSONValue) -> JSONValue = {
        ["messages": [["role": "user", "content": $0]], "max_tokens": 1, "temperature": 0]
    }
    let picture = question([["type": "image_url", "image_url": ["url": try dataURL(wide)]]])
    let pixels = try ImageInput.file(URL(filePath: wide)).pixels()
    for (limit, status) in [(pixels.width * pixels.height, 200), (pixels.width * pixels.height - 1, 400)] {
        let served = try Served { $0.imagePixels = limit }
        #expect(try await served.post("/v1/chat/completions", picture).status.code == status)
        #expect(try await served.post("/v1/images/seen", ["image": try dataURL(wide)]).status.code == status)
    }
    let tokens = try await Served().post("/v1/chat/completions", question("one two"))
    let count = try #require(try tokens.json["usage"]?["prompt_tokens"]?.integer)
    for (limit, status) in [(count, 200), (count - 1, 400)] {
        let served = try Served { $0.promptTokens = limit }
        let answer = try await served.post("/v1/chat/completions", question("one two"))
        #expect(answer.status.code == status)
        if status == 400 { #expect(try answer.json["error"]?["code"] == "context_length_exceeded") }
        let ids: JSONValue = .array((0..<count).map { .integer(2 + $0) })
        #expect(try await served.post("/v1/completions", ["prompt": ids, "max_tokens": 1]).status.code == status)
    }
}

@Test func recordingsHaveALimit() async throws {
    let sound = try Data(contentsOf: Goldens.folder.appending(path: "attachments/chirp.wav"))
    let seconds = Double(try AudioInput.bytes(sound).samples().count) / 16_000
    let part: JSONValue = [
        "type": "input_audio", "input_audio": ["data": .string(sound.base64EncodedString()), "format": "wav"],
    ]
    let question: JSONValue = ["messages": [["role": "user", "content": [part]]], "max_tokens": 1]
    for (limit, status) in [(seconds + 0.1, 200), (seconds - 0.1, 400)] {
        let served = try Served { $0.recordingSeconds = limit }
        #expect(try await served.post("/v1/chat/completions", question).status.code == status)
        var form = ByteBuffer()
        form.writeString("--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n")
        form.writeBytes(sound)
        form.writeString("\r\n--cut--\r\n")
        let body = form
        let transcribed = try await served.test {
            try await $0.execute(
                uri: "/v1/audio/transcriptions", method: .post,
                headers: [.contentType: "multipart/form-data; boundary=cut"], body: body)
        }
        #expect(transcribed.status.code == (status == 200 ? 200 : 413))
    }
}
