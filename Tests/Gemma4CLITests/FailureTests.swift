import Foundation
import TestSupport
import Testing

private let e2b = Goldens.checkpoint("E2B")

/// A mistake, its exit status, and its message.
struct Mistake: CustomTestStringConvertible, Sendable {
    let arguments: [String]
    let input: String
    let status: Int32
    let message: String

    init(_ arguments: String..., input: String = "", status: Int32, message: String) {
        (self.arguments, self.input, self.status, self.message) = (arguments, input, status, message)
    }

    var testDescription: String { "\(message) (\(status))" }

    static let usage = [
        Mistake("transcribe", status: 64, message: "Missing expected argument '<file> ...'"),
        Mistake("generate", "--bogus", status: 64, message: "Unknown option '--bogus'"),
        Mistake(
            "generate", "--model", e2b, status: 64, message: "nothing to answer: give a prompt, or --messages <file>"),
        Mistake("generate", "a", "--messages", "b", status: 64, message: "--messages holds the whole conversation"),
        Mistake("generate", "-", "--image", "-", status: 64, message: "standard input (-) can be read only once"),
        Mistake(
            "generate", "a", "--temperature=-1", status: 64, message: "--temperature: expected 0 or more, found -1.0"),
        Mistake("generate", "a", "--temperature", "nan", status: 64, message: "--temperature: expected 0 or more"),
        Mistake("generate", "a", "--top-p", "1.5", status: 64, message: "--top-p: expected 0 to 1, found 1.5"),
        Mistake("generate", "a", "--max-tokens", "0", status: 64, message: "--max-tokens: expected 1 or more, found 0"),
        Mistake("generate", "a", "--threads", "0", status: 64, message: "--threads: expected 1 to 1024, found 0"),
        Mistake(
            "generate", "a", "--thinking", "maybe", status: 64, message: "'maybe' is invalid for '--thinking <on|off>'"),
        Mistake(
            "caption", "a", "--image-tokens", "100", status: 64,
            message: "expected one of 70, 140, 280, 560, 1120, found 100"),
        Mistake("score", "--model", e2b, status: 64, message: "expected one of --text, --messages and --tokens"),
        Mistake(
            "score", "--model", e2b, "--tokens", "1,x", status: 64,
            message: "expected ids separated by commas, found \"x\""),
        Mistake(
            "embed", "--soft-tokens", "--model", e2b, "-o", "a", status: 64,
            message: "expected one of --image and --audio"),
    ]

    static let files = [
        Mistake(
            "generate", "a", "--model", "none", status: 66,
            message: "none: no such directory or file. Get a model with: hf download"),
        Mistake("generate", "a", "--model", "attachments", status: 66, message: "attachments/config.json"),
        Mistake("tokenize", "a", "--model", "attachments", status: 66, message: "attachments/tokenizer.json"),
        Mistake(
            "caption", "none.png", "--model", e2b, status: 66,
            message: "none.png: expected a readable file, found no such file"),
        Mistake(
            "generate", "--messages", "none.json", "--model", e2b, status: 66,
            message: "none.json: cannot be read: no such file"),
        Mistake(
            "generate", "--messages", "-", "--model", e2b, input: "[{\"role\": ", status: 65,
            message: "standard input, line 1, column 11: expected a value"),
        Mistake(
            "score", "--messages", "-", "--model", e2b, input: #"[{"role": "usr"}]"#, status: 65,
            message:
                #"standard input, messages[0].role: expected system, developer, user, assistant or tool, found "usr""#),
        Mistake("score", "--tokens", "99999", "--model", e2b, status: 65, message: "token id 99999: expected 0 to 700"),
        Mistake(
            "caption", "attachments/tone.wav", "--model", e2b, status: 65, message: "attachments/tone.wav: expected"),
        Mistake(
            "transcribe", "attachments/wide.png", "--model", e2b, status: 65, message: "attachments/wide.png: expected"),
        Mistake("transcribe", "-", "--model", e2b, input: "RIFF", status: 65, message: "standard input: expected"),
        Mistake("transcribe", "-", "--model", e2b, status: 65, message: "standard input: expected"),
        Mistake(
            "transcribe", "attachments/tone.wav", "--model", Goldens.checkpoint("31B"), status: 69,
            message: "this checkpoint has no audio tower and takes no audio input"),
        Mistake(
            "generate", "a", "--audio", "attachments/tone.wav", "--model", Goldens.checkpoint("31B"), status: 69,
            message: "this checkpoint has no audio tower"),
        Mistake(
            "embed", "--soft-tokens", "--image", "attachments/wide.png", "-o", "none/soft.npy", "--model", e2b,
            status: 73,
            message: "none/soft.npy: cannot be created: No such file or directory"),
        Mistake(
            "embed", "--soft-tokens", "--image", "attachments/wide.png", "-o", "/dev/full", "--model", e2b, status: 74,
            message: "/dev/full: cannot be written: No space left on device"),
    ]
}

@Test(arguments: Mistake.usage + Mistake.files)
func aMistakeEndsWithItsCodeAndMessage(mistake: Mistake) async throws {
    var program = Program()
    program.arguments = mistake.arguments
    program.input = Data(mistake.input.utf8)
    let outcome = try await program.run()
    #expect(outcome.status == mistake.status && !outcome.wasKilled)
    #expect(outcome.bytes.isEmpty)
    #expect(outcome.messages.hasPrefix("gemma4: "))
    #expect(outcome.messages.contains(mistake.message))
}

@Test func bytesThatAreNoTextAreRefused() async throws {
    let outcome = try await Program("tokenize", "-", "--model", e2b, input: Data([0x61, 0xff])).run()
    #expect(outcome.status == 65)
    #expect(outcome.messages == "gemma4: standard input: expected text in UTF-8, found other bytes\n")
}

@Test func anotherFamilyIsRefusedByName() async throws {
    let directory = try TemporaryDirectory()
    try directory.write(Array(#"{"model_type": "gemma3n"}"#.utf8), to: "config.json")
    let outcome = try await Program("generate", "a", "--model", directory.path).run()
    #expect(outcome.status == 69)
    #expect(outcome.messages.contains("Gemma 3n"))
}

@Test func aFullDiskUnderStandardOutputIsReported() async throws {
    var program = Program("tokenize", "a", "--model", e2b)
    program.standardOutput = FileHandle(forWritingAtPath: "/dev/full")
    let outcome = try await program.run()
    #expect(outcome.status == 74)
    #expect(outcome.messages == "gemma4: standard output: cannot be written: No space left on device\n")
}

// MARK: Signals

@Test func aReaderThatGoesAwayEndsTheProgramQuietly() async throws {
    var program = Program("tokenize", "a", "--model", e2b)
    let pipe = Pipe()
    try pipe.fileHandleForReading.close()
    program.standardOutput = pipe.fileHandleForWriting
    let outcome = try await program.run()
    #expect(outcome.wasKilled && outcome.status == SIGPIPE)
    #expect(outcome.messages.isEmpty)
}

/// Tokens show while the rest is still being made, and Ctrl-C ends that. Greedy, this prompt runs in a circle: 100 000
/// tokens take minutes.
@Test func controlCEndsAnAnswerThatIsUnderWay() async throws {
    let process = Program(
        "generate", "--model", Goldens.checkpoint("E4B"), "a", "--temperature", "0", "--max-tokens", "100000",
        "--no-loop-guard"
    ).process()
    let output = Pipe()
    let messages = Pipe()
    process.standardOutput = output
    process.standardError = messages
    let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
    try process.run()
    let begun = output.fileHandleForReading.availableData
    #expect(!begun.isEmpty && process.isRunning)
    process.interrupt()
    for await _ in ended {}
    #expect(process.terminationReason == .exit && process.terminationStatus == 130)
    #expect(messages.fileHandleForReading.readDataToEndOfFile().isEmpty)
}

// MARK: Help

@Test(arguments: ["transcribe", "translate", "caption", "generate", "score", "embed", "tokenize", "inspect", "doctor"])
func helpHasAnExampleAndFitsAScreen(command: String) async throws {
    let outcome = try await Program("help", command).run()
    #expect(outcome.status == 0 && outcome.messages.isEmpty)
    #expect(outcome.text.contains("Example: gemma4 \(command) "))
    #expect(outcome.text.split(separator: "\n", omittingEmptySubsequences: false).count <= 48)
}

@Test func versionIsANumber() async throws {
    #expect(try await Program("--version").run().text.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
}
