import Foundation
import Gemma4Kit
import Media
import Tensors
import TestSupport
import Testing
import Transcription

/// The demo model on its samples: words to check, from a trained model.
@Suite struct DemoTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Models/Demo")

    /// One entry of `samples/expected.json`: what transformers answers.
    struct Sample: Decodable, Sendable, CustomTestStringConvertible {
        let file, task, prompt, text: String
        let tokens: [Int]

        var testDescription: String { file }
        var path: String { DemoTests.folder.appending(path: "samples/\(file)").path }

        /// - Parameter model: a directory; nil leaves the choice to the program.
        func answered(by model: String?, options: [String] = []) async throws -> (
            text: String, tokens: [Int], messages: String
        ) {
            var program = Program(
                task == "transcribe" ? "transcribe" : "caption", "--instruction", prompt, "--format", "json", path)
            // The model transcribes silence too, as in transformers.
            if task == "transcribe" { program.arguments.append("--no-vad") }
            if let model { program.arguments += ["--model", model] }
            program.arguments += options
            // GGUF files do not store the soft-token budget.
            if task != "transcribe", model?.hasSuffix("gguf") ?? false {
                program.arguments += ["--image-tokens", "70"]
            }
            let outcome = try await program.run()
            let answer = try outcome.decoded(as: Answer.self)
            let tokens = answer.tokens ?? answer.segments?.flatMap(\.tokens) ?? []
            return (answer.text, tokens, outcome.messages)
        }
    }

    /// The common part of the JSON of `transcribe` and `caption`; a transcript has its tokens in segments.
    private struct Answer: Decodable {
        struct Segment: Decodable { let tokens: [Int] }
        let text: String
        let tokens: [Int]?
        let segments: [Segment]?
    }

    static let samples: [Sample] = {
        let file = folder.appending(path: "samples/expected.json")
        return (try? JSONDecoder().decode([Sample].self, from: Data(contentsOf: file))) ?? []
    }()

    @Test func thereAreSamplesOfBothJobs() {
        #expect(Self.samples.contains { $0.task == "transcribe" && !$0.text.isEmpty })
        #expect(Self.samples.contains { $0.task == "caption" && !$0.text.isEmpty })
    }

    /// Without --model the demo model answers, with a message.
    @Test(arguments: samples)
    func answersAsTransformersDoes(sample: Sample) async throws {
        let answer = try await sample.answered(by: nil)
        #expect(answer.tokens == sample.tokens)
        #expect(answer.text == sample.text)
        let note = answer.messages.split(separator: "\n").filter { $0.contains("demo model") }
        #expect(note.count == 1 && note[0].contains("hf download google/gemma-4-E2B-it"))
    }

    /// Without the demo model beside it, the program asks for a model.
    @Test(arguments: [["generate", "a"], ["inspect"]])
    func withoutItTheProgramAsksForAModel(arguments: [String]) async throws {
        let directory = try TemporaryDirectory()
        let copy = URL(filePath: directory.path).appending(path: "gemma4")
        // A link: a program that another test starts meanwhile would inherit the descriptor that a copy is written by, and
        // a file that is open for writing cannot be executed.
        do { try FileManager.default.linkItem(at: Program.executable, to: copy) } catch {
            try FileManager.default.copyItem(at: Program.executable, to: copy)
        }
        var program = Program()
        (program.arguments, program.executable) = (arguments, copy)
        let outcome = try await program.run()
        #expect(outcome.status == 64)
        #expect(outcome.messages.hasPrefix("gemma4: no model: give "))
        #expect(outcome.messages.contains("hf download google/gemma-4-E2B-it"))
    }

    @Test(arguments: [ResavedCheckpoint.ElementType.float32, .float16])
    func otherElementTypesSayTheSame(type: ResavedCheckpoint.ElementType) async throws {
        let copy = try ResavedCheckpoint(Self.folder.path, as: type)
        for sample in Self.samples {
            #expect(try await sample.answered(by: copy.path).text == sample.text)
        }
    }

    // MARK: Fewer bits

    /// Every quantization of 4 bits or more still does both tasks. 8 bits give the same words; with fewer, single words
    /// may differ.
    @Test(arguments: ["q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "iq4_xs", "mxfp4"])
    func quantisedFormsStillHearAndSee(type: String) async throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/demo.gguf"
        let recording = Self.folder.appending(path: "samples/clean-004.wav").path
        let outcome = try await Program(
            "quantize", Self.folder.path, "-o", file, "--type", type, "--verify", recording
        ).run()
        #expect(outcome.status == 0, "\(outcome.messages)")
        #expect(outcome.text.contains("words heard otherwise\t0.0 %"))
        var (differing, counted) = (0, 0)
        for sample in Self.samples {
            let text = try await sample.answered(by: file).text
            if type == "q8_0" { #expect(text == sample.text, "\(sample.file)") }
            let (found, expected) = (text.split(separator: " "), sample.text.split(separator: " "))
            differing += editDistance(found, expected)
            counted += expected.count
        }
        // Measured: none of 74 words, and 1 with q4_1.
        #expect(Double(differing) <= 0.03 * Double(counted), "\(differing) of \(counted) words")
    }

    /// Quantized at load time from the directory; and with int8 towers.
    @Test(arguments: [
        ["--quant", "q8_0"], ["--quant", "q4_0"], ["--tower-precision", "int8"], ["--kv-cache", "q8_0"],
        ["--kv-cache", "rotated"],
    ])
    func roundedWhileLoadingItStillHearsAndSees(options: [String]) async throws {
        var (differing, counted) = (0, 0)
        for sample in Self.samples {
            let text = try await sample.answered(by: Self.folder.path, options: options).text
            let (found, expected) = (text.split(separator: " "), sample.text.split(separator: " "))
            differing += editDistance(found, expected)
            counted += expected.count
        }
        // Measured: none of 74 words.
        #expect(Double(differing) <= 0.03 * Double(counted), "\(differing) of \(counted) words")
    }

    private struct Cache: Decodable { let full: Int, type: String }

    private func inspect(_ model: String) async throws -> Cache {
        struct Inspection: Decodable { let kvBytesPerToken: Cache }
        return try await Program("inspect", model, "--format", "json").run().decoded(as: Inspection.self)
            .kvBytesPerToken
    }

    @Test func quantNamesMistakes() async throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/a.gguf"
        let outcome = try await Program("quantize", Self.folder.path, "-o", file).run()
        #expect(outcome.status == 0, "\(outcome.messages)")
        let onGGUF = try await Program("generate", "--model", file, "--quant", "q4_0", "a").run()
        // The KV cache of quantized models is f16: half of f32.
        let (rounded, stored) = (try await inspect(file), try await inspect(Self.folder.path))
        #expect(rounded.type == "f16" && stored.type == "f32" && stored.full == 2 * rounded.full)
        #expect(onGGUF.status == 65 && onGGUF.messages.contains("to be rounded to q4_0, found q8_0"))
        let noCache = try await Program("generate", "--kv-cache", "q4_0", "a").run()
        #expect(
            noCache.status == 64
                && noCache.messages.contains(
                    "'q4_0' is invalid for '--kv-cache': expected f32, f16, q8_0, int8, rotated")
        )
        let noBlocks = try await Program("generate", "--quant", "f16", "a").run()
        #expect(
            noBlocks.status == 64
                && noBlocks.messages.contains("'f16' is invalid for '--quant <type>': expected q4_0, "))
        let grid = try await Program("generate", "--quant", "iq3_s", "a").run()
        #expect(
            grid.status == 64
                && grid.messages.contains(
                    "--quant: iq3_s needs to know how much each weight matters, and is read from GGUF files only; expected q4_0, "
                ), "\(grid.messages)")
    }

    @Test(arguments: [
        (["Models"], "-o: expected a name that ends in .gguf"),
        (["--type", "q1_k"], "'q1_k' is invalid for '--type <type>': expected f32, "),
        (["--tower-type", "q4_0"], "'q4_0' is invalid for '--tower-type <type>': expected q8_0, f16, bf16, f32"),
        (["--verify", "/nowhere.txt"], "/nowhere.txt: cannot be read"),
    ])
    func quantizeNamesMistakes(arguments: [String], message: String) async throws {
        let directory = try TemporaryDirectory()
        var program = Program(
            "quantize", Self.folder.path, "-o", "\(directory.path)/\(arguments[0] == "Models" ? "a" : "a.gguf")")
        program.arguments += arguments[0] == "Models" ? [] : arguments
        let outcome = try await program.run()
        #expect(outcome.status != 0 && outcome.messages.contains(message), "\(outcome.messages)")
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(!left.contains { $0.hasSuffix(".part") })
    }

    // MARK: Long recordings

    private struct Transcript: Decodable {
        struct Segment: Decodable {
            let start, end: Double
            let text: String
        }
        let segments: [Segment]
    }

    /// Two hours of the clean samples with pauses between them: a segment for each, at its time, with its words, in
    /// memory that does not grow with the recording.
    @Test func twoHoursAreWhatTheirClipsAre() async throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/two-hours.wav"
        let spoken = try writeRecording(file, seconds: 7200)
        var program = Program()
        program.arguments = ["transcribe", file, "--format", "json", "-o", "\(directory.path)/out.json"]
        let process = program.process()
        process.standardError = FileHandle.nullDevice
        let peak = try await process.peakResidentBytes()
        #expect(process.terminationStatus == 0)
        // Measured: 105 MB, model and program included; the samples alone would take 461 MB as f32.
        #expect(peak > 0 && peak < 250_000_000)
        let transcript = try JSONDecoder().decode(
            Transcript.self, from: Data(contentsOf: URL(filePath: "\(directory.path)/out.json")))
        try #require(transcript.segments.count == spoken.count)
        var (differing, counted, misplaced) = (0, 0, 0)
        for (segment, clip) in zip(transcript.segments, spoken) {
            let (found, expected) = (segment.text.split(separator: " "), clip.text.split(separator: " "))
            differing += editDistance(found, expected)
            counted += expected.count
            if abs(segment.start - clip.start) > 0.5 || abs(segment.end - clip.end) > 0.5 { misplaced += 1 }
        }
        #expect(misplaced == 0)
        // Different silence before a clip changes some words: measured 50 of 8,628; the model's error rate on clean
        // voices is 4.7 %.
        // 4.7 % of clean voices anyway.
        #expect(Double(differing) < 0.02 * Double(counted), "\(differing) of \(counted) words")
    }

    /// Writes clips in an order that does not repeat, 1.5 to 4 s apart, over faint noise.
    ///
    /// - Returns: each clip's words and offset in seconds.
    private func writeRecording(
        _ path: String, seconds: Double
    ) throws -> [(text: String, start: Double, end: Double)] {
        let clips = try Self.samples.filter { $0.file.hasPrefix("clean") && !$0.text.isEmpty }.map {
            (text: $0.text, bytes: try Data(contentsOf: URL(filePath: $0.path)).dropFirst(44))
        }
        let rate = 16_000
        var random = UInt64(1)
        func next(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % bound
        }
        try Sounds.wave([]).write(to: URL(filePath: path))
        let file = try FileHandle(forUpdating: URL(filePath: path))
        let header = try file.seekToEnd()
        var spoken: [(text: String, start: Double, end: Double)] = []
        var written = 0
        while written < Int(seconds) * rate {
            let pause = (0..<rate * 3 / 2 + next(rate * 5 / 2)).map { _ in Int16(next(17) - 8).littleEndian }
            try pause.withUnsafeBytes { try file.write(contentsOf: Data($0)) }
            let clip = clips[next(clips.count)]
            try file.write(contentsOf: clip.bytes)
            let start = Double(written + pause.count) / Double(rate)
            written += pause.count + clip.bytes.count / 2
            spoken.append((clip.text, start, Double(written) / Double(rate)))
        }
        for (offset, size) in [(4, header - 8), (header - 4, 0)] {
            try file.seek(toOffset: UInt64(offset))
            try withUnsafeBytes(of: UInt32(Int(size) + written * 2).littleEndian) {
                try file.write(contentsOf: Data($0))
            }
        }
        try file.close()
        return spoken
    }

    /// Output does not depend on the number of concurrent pieces and files, and appears in the order of the files; a
    /// file that fails is reported without affecting the others.
    @Test(arguments: ["transcribe", "caption"])
    func outputDoesNotDependOnTheNumberAtOnce(command: String) async throws {
        let directory = try TemporaryDirectory()
        let damaged = try directory.write([1, 2, 3], to: command == "transcribe" ? "damaged.wav" : "damaged.png")
        var files = Self.samples.filter { ($0.task == "transcribe") == (command == "transcribe") }.map(\.path)
        files.insert(damaged, at: 1)
        var outcomes: [(text: String, reports: [Substring], status: Int32)] = []
        for count in ["1", "3", "8"] {
            var program = Program(command, "--parallel", count)
            program.arguments += files
            let outcome = try await program.run()
            outcomes.append((outcome.text, outcome.messages.split(separator: "\n"), outcome.status))
        }
        #expect(outcomes[0].status == 65 && outcomes[0].text.split(separator: "\n").count >= 3)
        for outcome in outcomes.dropFirst() {
            #expect(outcome.text == outcomes[0].text)
            #expect(outcome.reports == outcomes[0].reports)
            #expect(outcome.status == outcomes[0].status)
        }
    }

    /// Segments of a long recording and their order do not depend on the number of concurrent pieces.
    @Test func segmentsDoNotDependOnTheNumberAtOnce() async throws {
        let directory = try TemporaryDirectory()
        var samples: [Float] = []
        for sample in Self.samples where sample.task == "transcribe" && !sample.text.isEmpty {
            var reader = try AudioReader(URL(filePath: sample.path))
            samples += try reader.readAll() + [Float](repeating: 0, count: 24_000)
        }
        let file = try directory.write(Sounds.wave(samples, rate: 16_000), to: "long.wav")
        var texts: [String] = []
        for count in ["1", "2", "8"] {
            let program = Program("transcribe", "--max-segment", "3", "--format", "srt", "--parallel", count, file)
            texts.append(try await program.run().text)
        }
        #expect(texts[0].components(separatedBy: "-->").count > 4)
        #expect(texts[1] == texts[0] && texts[2] == texts[0])
    }
}

extension Process {
    /// Runs to the end; returns the peak resident memory.
    fileprivate func peakResidentBytes() async throws -> Int {
        try run()
        var peak = 0
        while isRunning {
            let status = (try? String(contentsOfFile: "/proc/\(processIdentifier)/status", encoding: .utf8)) ?? ""
            if let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }) {
                peak = (Int(line.split(whereSeparator: \.isWhitespace)[1]) ?? 0) * 1024
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        return peak
    }
}
