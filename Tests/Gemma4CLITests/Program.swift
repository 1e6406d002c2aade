import Foundation
import TestSupport

/// The program as users run it, from the folder of the goldens.
struct Program {
    var arguments: [String]
    var input = Data()
    var environment: [String: String] = [:]
    /// Working directory; nil: the folder of the goldens.
    var directory: String?
    var executable = Self.executable
    /// Nil captures standard output.
    var standardOutput: FileHandle?

    struct Outcome {
        let status: Int32
        let wasKilled: Bool
        let bytes: Data
        let messages: String

        var text: String { String(decoding: bytes, as: UTF8.self) }

        /// Standard output as one JSON value.
        func decoded<Value: Decodable>(as: Value.Type = Value.self) throws -> Value {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(Value.self, from: bytes)
        }
    }

    init(_ arguments: String..., input: Data = Data()) {
        self.arguments = arguments
        self.input = input
    }

    /// Beside the test bundle: both are products of one build.
    static var executable: URL {
        URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "gemma4")
    }

    /// A process that has everything but its standard output.
    func process() -> Process {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.currentDirectoryURL = directory.map { URL(filePath: $0) } ?? Goldens.folder
        process.environment = ProcessInfo.processInfo.environment
            .filter { $0.key != "GEMMA4_MODEL" }.merging(environment) { $1 }
        return process
    }

    func run() async throws -> Outcome {
        let directory = try TemporaryDirectory()
        let process = process()
        let input = try FileHandle(forReadingFrom: URL(filePath: directory.write(input, to: "input")))
        let output = URL(filePath: try directory.write([], to: "output"))
        let messages = URL(filePath: try directory.write([], to: "messages"))
        let (caught, told) = (try FileHandle(forWritingTo: output), try FileHandle(forWritingTo: messages))
        // Foundation does not let go of a process, nor of its files.
        defer { [input, caught, told].forEach { try? $0.close() } }
        process.standardInput = input
        process.standardOutput = standardOutput ?? caught
        process.standardError = told
        try await process.runToEnd()
        return Outcome(
            status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
            bytes: try Data(contentsOf: output), messages: try String(contentsOf: messages, encoding: .utf8))
    }
}

extension Process {
    func runToEnd() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            terminationHandler = { _ in continuation.resume() }
            do { try run() } catch { continuation.resume(throwing: error) }
        }
    }
}

/// The object that `--format json` prints for an answer.
struct AnswerObject: Decodable {
    let file: String?
    let promptTokens, tokens: [Int]
    let logprobs: [Float]
    let text, finishReason: String
    let timings: [String: Double]
}

/// The output of `--format json` for a transcript.
struct TranscriptObject: Decodable {
    struct Segment: Decodable {
        let id: Int
        let start, end, avgLogprob, noSpeechProb: Double
        let text, finishReason: String
        let tokens: [Int]
        let sourceText: String?
        let channel: Int?
    }
    struct Then: Decodable { let prompt, text: String }
    let task, text: String
    let language, file: String?
    let duration, heard, skipped, lost: Double
    let stoppedAt: Double?
    let segments: [Segment]
    let then: Then?
}

/// The output of `--format json` for scores.
struct ScoreObject: Decodable {
    let tokens: [Int]
    let logprobs: [Float?]
    let perplexity: Double?
}

/// Two correct f32 programs differ on these nets by up to 1e-3 in log-probability (Tests/Goldens/README.md).
let logprobTolerance: Float = 2e-3
