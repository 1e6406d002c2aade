import Foundation
import TestSupport
import Testing

// MARK: score

@Test(arguments: GoldenCase.named("long-text", "image-audio", "images", "turns"))
func scoreAnswersAsTransformersDoes(golden: GoldenCase) async throws {
    let outcome = try await Program(
        "score", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--format", "json"
    ).run()
    #expect(outcome.status == 0 && outcome.messages.isEmpty)
    let score: ScoreObject = try outcome.decoded()
    #expect(score.tokens == golden.promptTokens)
    try expectScores(score.logprobs, golden)
    let known = golden.promptLogprobs.compactMap { $0.map(Double.init) }
    let perplexity = exp(-known.reduce(0, +) / Double(known.count))
    // e to the tolerance of a log-probability.
    #expect(abs(try #require(score.perplexity) / perplexity - 1) <= Double(logprobTolerance))
}

@Test func scoreTakesIdsAndTextToo() async throws {
    let golden = try GoldenCase.one("E2B", "text")
    let ids = golden.promptTokens.map(String.init).joined(separator: ",")
    let byIds: ScoreObject = try await Program(
        "score", "--model", golden.checkpoint, "--tokens", ids, "--format", "json"
    ).run().decoded()
    try expectScores(byIds.logprobs, golden)

    let bos = golden.promptTokens[0]
    let byText: ScoreObject = try await Program(
        "score", "--model", golden.checkpoint, "--text", "What", "--format", "json"
    ).run().decoded()
    #expect(byText.tokens.first == bos && byText.logprobs.first == .some(nil))
    let alone: ScoreObject = try await Program(
        "score", "--model", golden.checkpoint, "--tokens", "\(bos)", "--format", "json"
    ).run().decoded()
    #expect(alone.logprobs.count == 1 && alone.perplexity == nil)
}

private func expectScores(_ found: [Float?], _ golden: GoldenCase) throws {
    #expect(found.count == golden.promptLogprobs.count && found.first == .some(nil))
    expectClose(
        try found.dropFirst().map { try #require($0) }, try golden.promptLogprobs.dropFirst().map { try #require($0) },
        absolute: logprobTolerance)
}

// MARK: tokenize

@Test func tokenizeShowsIdsAndPieces() async throws {
    struct Tokens: Decodable, Equatable {
        let tokens: [Int]
        let pieces: [String]
    }
    let golden = try GoldenCase.one("E2B", "text")
    // The ids of the text within the prompt: <bos><|turn>user\n What is this, 4? <turn|>\n<|turn>model\n
    let words = Array(golden.promptTokens[4..<13])
    let plain: Tokens = try await Program(
        "tokenize", "--model", golden.checkpoint, "--format", "json", "What is this, 4?"
    ).run().decoded()
    #expect(plain == Tokens(tokens: words, pieces: ["What", "▁is", "▁", "th", "is", ",", "▁", "4", "?"]))

    let special: Tokens = try await Program(
        "tokenize", "--model", golden.checkpoint, "--format", "json", "--special", "-", input: Data(golden.prompt.utf8)
    ).run().decoded()
    #expect(special.tokens == golden.promptTokens)
    #expect(special.pieces[0] == "<bos>")

    let lines = try await Program("tokenize", "--model", golden.checkpoint, "-", input: Data("is\n".utf8)).run()
    #expect(lines.text == "\(words[4])\t\"is\"\n\(golden.promptTokens[3])\t\"\\n\"\n")
}

// MARK: embed

@Test(arguments: [("--image", "attachments/wide.png", "wide.soft"), ("--audio", "attachments/chirp.wav", "chirp.soft")])
func embedWritesSoftTokens(flag: String, file: String, name: String) async throws {
    let golden = try Goldens("E2B/expected.safetensors")(name)
    let checkpoint = Goldens.checkpoint("E2B")
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/soft.npy"
    let outcome = try await Program("embed", "--soft-tokens", "--model", checkpoint, flag, file, "-o", path).run()
    #expect(outcome.status == 0 && outcome.bytes.isEmpty && outcome.messages.isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["soft.npy"])
    let bytes = try Data(contentsOf: URL(filePath: path))
    let array = try #require(NumpyArray(bytes))
    #expect(array.shape == golden.shape)
    // The tolerance of the towers' tests, which state its measurement.
    expectClose(array.values, golden.values, absolute: 1.5e-5 * golden.scale)
    let piped = try await Program("embed", "--soft-tokens", "--model", checkpoint, flag, file, "-o", "-").run()
    #expect(piped.bytes == bytes)
}

@Test func embedReplacesAFileAndKeepsItsMode() async throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write(Array("old".utf8), to: "soft.npy")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    let failed = try await Program(
        "embed", "--soft-tokens", "--model", Goldens.checkpoint("E2B"), "--image", "none.png", "-o", path
    )
    .run()
    #expect(failed.status == 66)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
    let outcome = try await Program(
        "embed", "--soft-tokens", "--model", Goldens.checkpoint("E2B"), "--image", "attachments/wide.png", "-o", path
    ).run()
    #expect(outcome.status == 0)
    #expect(NumpyArray(try Data(contentsOf: URL(filePath: path))) != nil)
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
}

/// An independent reader of NumPy's `format.py`: version 1.0, float32, row-major.
private struct NumpyArray {
    let shape: [Int]
    let values: [Float]

    init?(_ bytes: Data) {
        guard bytes.prefix(8) == Data([0x93] + Array("NUMPY".utf8) + [1, 0]), bytes.count > 10 else { return nil }
        let start = 10 + Int(bytes[8]) + Int(bytes[9]) << 8
        let header = String(decoding: bytes[10..<start], as: UTF8.self)
        let pattern = /\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+),\), \} *\n/
        guard start % 64 == 0, let match = header.wholeMatch(of: pattern), let rows = Int(match.1),
            let columns = Int(match.2),
            bytes.count == start + 4 * rows * columns
        else { return nil }
        shape = [rows, columns]
        values = (0..<rows * columns).map { index in
            let first = start + 4 * index
            return Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[first + $1]) << (8 * $1) })
        }
    }
}

// MARK: inspect

private struct InspectObject: Decodable {
    struct Layers: Decodable { let count, sliding, full, kvShared, slidingWindow: Int }
    struct Cache: Decodable { let full, sliding: Int }
    struct Parameters: Decodable {
        let published: Int
        let parts: [String: Int]
    }
    struct Weights: Decodable {
        let bytes: Int
        let parts: [String: Int]
        let tensorsByType: [String: Int]
    }
    let variant: String
    let inputs: [String]
    let layers: Layers
    let context: Int
    let kvBytesPerToken: Cache
    let parameters: Parameters
    let weights: Weights?
    let tokenizerVocabulary: Int?
    let simd: String
    let firstProductShare: Double
    let threads: Int
    let threadLimit: String
}

/// f32 KV cache. E2B: of 15 layers that own keys and values, 3 are full, 2 × 1 × 512 each, and 12 sliding, 2 × 1 × 256.
@Test(arguments: [
    ("E2B", 35, 7, 3 * 1024 * 4, 12 * 512 * 4), ("E4B", 42, 7, 4 * 2 * 1024 * 4, 20 * 2 * 512 * 4),
    ("12B", 48, 8, 8 * 1024 * 4, 40 * 8 * 512 * 4),
    ("31B", 60, 10, 10 * 4 * 1024 * 4, 50 * 16 * 512 * 4), ("26B-A4B", 30, 5, 5 * 2 * 1024 * 4, 25 * 8 * 512 * 4),
])
func inspectNeedsOnlyTheConfiguration(variant: String, layers: Int, full: Int, fullBytes: Int, slidingBytes: Int)
    async throws
{
    let models = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent().appending(
        path: "Models/\(variant)")
    let outcome = try await Program("inspect", models.path, "--format", "json").run()
    let model: InspectObject = try outcome.decoded()
    #expect(model.variant == variant && model.layers.count == layers && model.layers.full == full)
    #expect(model.kvBytesPerToken.full == fullBytes && model.kvBytesPerToken.sliding == slidingBytes)
    #expect(
        model.inputs == (["E2B", "E4B", "12B"].contains(variant) ? ["text", "image", "audio"] : ["text", "image"]))
    #expect(model.weights == nil && model.tokenizerVocabulary == nil)
    let text = try await Program("inspect", models.path).run().text
    #expect(text.contains("weights               absent\n"))
    #expect(model.firstProductShare > 0 && text.contains("first products"))
}

/// As `taskset` does, for the program and whatever it starts.
@Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/taskset")))
func threadsKeepToTheAffinityMask() async throws {
    var program = Program("-c", "0", Program.executable.path, "inspect", Goldens.checkpoint("E2B"), "--format", "json")
    program.executable = URL(filePath: "/usr/bin/taskset")
    let model: InspectObject = try await program.run().decoded()
    #expect(model.threads == 1)
    if sysconf(CInt(_SC_NPROCESSORS_ONLN)) > 1 {
        #expect(model.threadLimit.hasPrefix("the affinity mask allows 1 of "))
    }
}

/// Where the address space is limited, a model answers, and bench says what it lacks; also where programs start slowly,
/// so that more of their threads run at once.
@Test(arguments: [("generate --max-tokens 2 --model", Int32(0)), ("bench --threads 8 --model", 71)])
func addressSpaceIsLimited(command: String, status: Int32) async throws {
    var program = Program(
        "-c",
        "ulimit -v 600000; exec timeout 300 '\(Program.executable.path)' \(command) \(Goldens.checkpoint("E2B"))"
            + (status == 0 ? " hello" : ""))
    program.executable = URL(filePath: "/bin/sh")
    try await withThrowingTaskGroup { [program] group in
        for _ in 0..<8 { group.addTask { try await program.run() } }
        for try await outcome in group {
            #expect(outcome.status == status, "\(command): \(outcome.status) \(outcome.messages)")
            if status != 0 { #expect(outcome.messages.contains("needs 1024 MiB of address space for 8 threads")) }
        }
    }
}

@Test func inspectCountsTheWeights() async throws {
    let model: InspectObject = try await Program("inspect", Goldens.checkpoint("E2B"), "--format", "json").run()
        .decoded()
    let weights = try #require(model.weights)
    #expect(model.variant == "custom" && model.layers.count == 15)
    #expect(weights.tensorsByType.keys.sorted() == ["bfloat16"])
    #expect(weights.bytes == 2 * model.parameters.parts.values.reduce(0, +), "bf16: two bytes each")
    #expect(weights.bytes == weights.parts.values.reduce(0, +))
}

/// Measures little, to see that everything is measured.
@Test func benchMeasuresEveryPart() async throws {
    let outcome = try await Program(
        "bench", "--model", Goldens.checkpoint("E2B"), "--prompt-tokens", "8", "--generated-tokens", "2", "--repeats",
        "1",
        "--depth", "0,16", "--format", "csv", "--image", "attachments/wide.png", "--image-tokens", "70",
        "--tower-precision", "int8", "--quant", "q8_0"
    ).run()
    #expect(outcome.status == 0, "\(outcome.messages)")
    let rows = outcome.text.split(separator: "\n").map { $0.split(separator: ",") }
    #expect(rows.first == ["measure", "value"])
    let values = Dictionary(uniqueKeysWithValues: rows.dropFirst().map { (String($0[0]), Double($0[1]) ?? -1) })
    for name in [
        "load_seconds", "prefill_tokens_per_second", "time_to_first_token_seconds", "decode_tokens_per_second",
        "read_gigabytes_per_second", "machine_read_gigabytes_per_second", "decode_tokens_per_second_after_0",
        "decode_tokens_per_second_after_16", "audio_seconds", "audio_sgemm_gigaflops_per_second",
        "prefill_sgemm_gigaflops_per_second",
        "machine_sgemm_gigaflops_per_second", "first_product_share",
    ] {
        #expect(values[name] ?? 0 > 0, "\(name)")
    }
    for name in ["image_seconds_", "image_first_seconds_", "image_sgemm_gigaflops_per_second_"] {
        #expect(
            values.keys.count { $0.hasPrefix(name) } == 1 && values.contains { $0.key.hasPrefix(name) && $0.value > 0 })
    }
}

@Test(arguments: [
    (
        ["--synthetic", "E2B", "--quant", "f16"],
        "'f16' is invalid for '--quant <type>': expected q4_0, q4_1, q5_0, q5_1, q8_0, q2_k"
    ),
    (["--synthetic", "E2B", "--image-tokens", "71"], "--image-tokens: expected some of 70,140,280,560,1120, found 71"),
    (["--synthetic", "E2B", "--depth", "1,x"], "--depth: expected counts of tokens such as 0,4096, found x"),
])
func benchNamesMistakes(arguments: [String], message: String) async throws {
    var program = Program("bench")
    program.arguments += arguments
    let outcome = try await program.run()
    #expect(outcome.status == 64 && outcome.messages.contains(message), "\(outcome.messages)")
}
