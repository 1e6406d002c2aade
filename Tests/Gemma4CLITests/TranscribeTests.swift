import Foundation
import TestSupport
import Testing

private let checkpoint = Goldens.checkpoint("E2B")

/// Three utterances at 2, 7 and 12 s of 15; longer than a piece with --max-segment 10.
private let recording: [Float] = Sounds.mixed(
    [2.0, 7, 12].reduce(into: Sounds.silence(seconds: 15)) { samples, start in
        let speech = Sounds.speech(seconds: 2, seed: Int(start))
        samples.replaceSubrange(Int(start) * 16_000..<Int(start) * 16_000 + speech.count, with: speech)
    }, Sounds.noise(seconds: 15, level: -60))

private func folder(_ names: String...) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for name in names {
        try FileManager.default.createDirectory(
            at: URL(filePath: "\(directory.path)/\(name)").deletingLastPathComponent(),
            withIntermediateDirectories: true)
        try directory.write(Sounds.wave(recording), to: name)
    }
    return directory
}

private func transcribe(_ arguments: [String], tokens: Int = 2, input: Data = Data()) async throws -> Program.Outcome {
    var program = Program(
        "transcribe", "--model", checkpoint, "--max-tokens", "\(tokens)", "--max-segment", "10", input: input)
    program.arguments += arguments
    return try await program.run()
}

@Suite struct TranscribeTests {
    @Test func everyFormatIsWrittenInOneGo() async throws {
        let directory = try folder("a.wav")
        let outcome = try await transcribe(
            ["\(directory.path)/a.wav", "-o", "\(directory.path)/out/"]
                + ["txt", "srt", "vtt", "json", "tsv"].flatMap { ["--format", $0] })
        #expect(outcome.status == 0 && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains("a.wav: heard 7."), "\(outcome.messages)")
        #expect(outcome.messages.contains(", lost 0.0 s\n"))
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/out").sorted()
        #expect(names == ["a.json", "a.srt", "a.tsv", "a.txt", "a.vtt"], "and no draft is left")
        func text(_ name: String) throws -> String {
            try String(contentsOfFile: "\(directory.path)/out/\(name)", encoding: .utf8)
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let object = try decoder.decode(TranscriptObject.self, from: Data(text("a.json").utf8))
        #expect(object.segments.count == 3 && object.lost == 0 && abs(object.duration - 15) < 0.01)
        for (segment, start) in zip(object.segments, [2.0, 7, 12]) {
            #expect(abs(segment.start - start) < 0.5 && abs(segment.end - start - 2) < 0.5)
        }
        #expect(try text("a.srt").hasPrefix("1\n00:00:0"))
        #expect(try text("a.vtt").hasPrefix("WEBVTT\n\n"))
        #expect(try text("a.tsv").hasPrefix("start\tend\ttext\n"))
        #expect(
            try text("a.txt").split(separator: "\n").map(String.init)
                == object.segments.map(\.text).filter { !$0.isEmpty })
    }

    /// Standard output equals the output file.
    @Test(arguments: ["txt", "srt", "vtt", "tsv", "json"])
    func standardOutputIsAsAFile(format: String) async throws {
        let directory = try folder("a.wav")
        let file = "\(directory.path)/a.\(format)"
        _ = try await transcribe(["\(directory.path)/a.wav", "--format", format, "-o", file])
        let outcome = try await transcribe(["\(directory.path)/a.wav", "--format", format])
        #expect(outcome.text == (try String(contentsOfFile: file, encoding: .utf8)) && !outcome.text.isEmpty)
    }

    @Test func foldersAreReadThrough() async throws {
        let directory = try folder("in/b.wav", "in/deep/a.wav")
        try directory.write(Array("no sound".utf8), to: "in/notes.txt")
        let outcome = try await transcribe(["\(directory.path)/in", "-o", "\(directory.path)/out"])
        #expect(outcome.status == 0)
        #expect(FileManager.default.fileExists(atPath: "\(directory.path)/out/b.txt"))
        #expect(FileManager.default.fileExists(atPath: "\(directory.path)/out/deep/a.txt"))
        let lines = try await transcribe(["\(directory.path)/in"]).text.split(separator: "\n")
        #expect(
            !lines.isEmpty && lines.allSatisfy { $0.hasPrefix("\(directory.path)/in/") }, "each line names its file")
        let objects = try await transcribe(["\(directory.path)/in", "--format", "json"]).text.split(separator: "\n")
        #expect(objects.count == 2)
    }

    @Test func partsChannelsAndRawSamples() async throws {
        let directory = try folder("a.wav")
        let stereo = recording.flatMap { [$0, -$0] }
        try directory.write(Sounds.wave(stereo, channels: 2), to: "stereo.wav")
        let part: TranscriptObject = try await transcribe(
            ["\(directory.path)/a.wav", "--offset", "0:06", "--duration", "4", "--format", "json"]
        ).decoded()
        #expect(part.segments.count == 1 && abs(part.segments[0].start - 7) < 0.5 && abs(part.duration - 4) < 0.01)
        let split: TranscriptObject = try await transcribe(
            ["\(directory.path)/stereo.wav", "--channels", "split", "--format", "json"]
        ).decoded()
        #expect(
            split.segments.filter { $0.channel == 1 }.count == 3 && split.segments.filter { $0.channel == 2 }.count == 3
        )
        let raw: TranscriptObject = try await transcribe(
            ["--stdin-format", "s16le", "--format", "json"], input: Data(Sounds.pcm(recording))
        ).decoded()
        #expect(raw.segments.count == 3 && abs(raw.segments[2].start - 12) < 0.5 && raw.lost == 0)
    }

    @Test func aQuestionIsAskedAboutTheWhole() async throws {
        let directory = try folder("a.wav")
        let plain = try await transcribe(["\(directory.path)/a.wav"])
        let text = try await transcribe(["\(directory.path)/a.wav", "--then", "Summarise."])
        #expect(text.text.hasPrefix(plain.text + "\n") && text.text.count > plain.text.count + 2)
        let object: TranscriptObject = try await transcribe(
            ["\(directory.path)/a.wav", "--then", "Summarise.", "--format", "json"]
        ).decoded()
        let then = try #require(object.then)
        #expect(then.prompt == "Summarise." && text.text == "\(plain.text)\n\(then.text)\n")
    }

    @Test func translationsHaveBothLanguages() async throws {
        let directory = try folder("a.wav")
        let object: TranscriptObject = try await Program(
            "translate", "--to", "de", "\(directory.path)/a.wav", "--model", checkpoint, "--max-tokens", "3",
            "--format", "json"
        ).run().decoded()
        #expect(object.task == "translate" && object.language == "german")
        #expect(object.segments.allSatisfy { $0.sourceText != nil })
        let text = try await Program(
            "translate", "--to", "de", "--text", "-", "--model", checkpoint, "--max-tokens", "3",
            input: Data("Good morning".utf8)
        ).run()
        let same = try await Program(
            "generate", "--model", checkpoint, "--temperature", "0", "--max-tokens", "3",
            "Translate the following text into German. Only output the translation.\n\nGood morning"
        ).run()
        #expect(text.status == 0 && text.text == same.text)
    }

    @Test func severalFormatsShareAName() async throws {
        let directory = try folder("a.wav")
        for (output, names) in [("talk.srt", ["talk.srt", "talk.vtt"]), ("talk.v1", ["talk.v1.srt", "talk.v1.vtt"])] {
            let outcome = try await transcribe([
                "\(directory.path)/a.wav", "--format", "srt", "--format", "vtt", "-o", "\(directory.path)/\(output)",
            ])
            #expect(outcome.status == 0)
            for name in names { #expect(FileManager.default.fileExists(atPath: "\(directory.path)/\(name)")) }
        }
    }

    /// The transcript before the damage is written, and the damage is reported.
    @Test func aDamagedRecordingIsTranscribedUpToThere() async throws {
        let directory = try TemporaryDirectory()
        let samples = recording + [.nan]
        let bytes = samples.flatMap { sample in (0..<4).map { UInt8(truncatingIfNeeded: sample.bitPattern >> (8 * $0)) }
        }
        let file = "\(directory.path)/out.json"
        let outcome = try await transcribe(
            ["--stdin-format", "f32le", "--format", "json", "-o", file], input: Data(bytes))
        #expect(outcome.status == 65)
        #expect(outcome.messages.contains("standard input: expected finite samples, found nan at 15.00 s"))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let object = try decoder.decode(TranscriptObject.self, from: Data(contentsOf: URL(filePath: file)))
        #expect(object.segments.count == 3 && object.lost == 0)
    }

    // MARK: Damage and silence

    /// A truncated recording is transcribed, written and reported as incomplete.
    @Test func aCutRecordingIsWrittenAndSaid() async throws {
        let directory = try folder("a.wav")
        let whole = try Data(contentsOf: URL(filePath: "\(directory.path)/a.wav"))
        try directory.write(whole.prefix(44 + 32_000 * 10), to: "cut.wav")
        let outcome = try await transcribe(
            ["\(directory.path)/cut.wav", "--format", "json", "-o", "\(directory.path)/cut.json"])
        #expect(outcome.status == 65)
        #expect(outcome.messages.contains("lost 5.0 s\n"))
        #expect(
            outcome.messages.contains(
                "cut.wav: expected a whole recording, found 10.00 of 15.00 s of sound; copy or download it again."))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let object = try decoder.decode(
            TranscriptObject.self, from: Data(contentsOf: URL(filePath: "\(directory.path)/cut.json")))
        #expect(object.segments.count == 2 && abs(object.lost - 5) < 0.01 && abs(object.duration - 15) < 0.01)
    }

    /// Decoder messages are reported by the program, not printed by the libraries.
    @Test func nothingOfTheDecodersReachesTheTerminal() async throws {
        let directory = try TemporaryDirectory()
        let file = try EncodedSound.mp3.file(recording)
        let middle = file.count / 2
        let stray = Data((0..<3_000).map { UInt8(truncatingIfNeeded: $0 * 37) })
        try directory.write(file.prefix(middle) + stray + file.dropFirst(middle), to: "a.mp3")
        let outcome = try await transcribe(["\(directory.path)/a.mp3"])
        #expect(outcome.status == 65)
        #expect(outcome.messages.split(separator: "\n").allSatisfy { $0.hasPrefix("gemma4: ") }, "\(outcome.messages)")
        #expect(outcome.messages.contains("expected sound that decodes, found 0."))
    }

    @Test func headersThatAnnounceTooLittleAreSaid() async throws {
        var bytes = Sounds.wave(recording)
        bytes.replaceSubrange(40..<44, with: [0, 0, 0, 0])
        let outcome = try await transcribe(["-"], input: bytes)
        #expect(outcome.status == 0 && outcome.messages.contains("standard input: heard 7."))
        #expect(
            outcome.messages.contains(
                "gemma4: warning: standard input: the header announces 0 bytes of sound, and 480000 are there: all are heard\n"
            ))
    }

    @Test func silenceIsNotAskedAbout() async throws {
        let directory = try TemporaryDirectory()
        try directory.write(Sounds.wave(Sounds.silence(seconds: 10)), to: "silent.wav")
        let quiet = try await transcribe(["\(directory.path)/silent.wav", "--then", "Summarise."])
        #expect(quiet.status == 0 && quiet.bytes.isEmpty)
        #expect(quiet.messages.contains("silent.wav: heard 0.0 s, skipped 10.0 s, lost 0.0 s\n"))
        #expect(quiet.messages.contains("silent.wav: nothing was said, so there is nothing to ask about\n"))
        let all = try await transcribe(["\(directory.path)/silent.wav", "--no-vad"])
        #expect(all.messages.contains("silent.wav: heard 10.0 s, skipped 0.0 s, lost 0.0 s\n"))
        let stereo = recording.flatMap { [$0, Float(0)] }
        try directory.write(Sounds.wave(stereo, channels: 2), to: "stereo.wav")
        let split = try await transcribe(["\(directory.path)/stereo.wav", "--channels", "split"])
        #expect(split.messages.contains("stereo.wav: channel 2 has no speech and was skipped\n"))
        #expect(split.text.split(separator: "\n").allSatisfy { $0.hasPrefix("[1] ") })
    }

    // MARK: Where results go

    /// Files of one name keep the distinguishing part of their folders; a file named twice is transcribed once.
    @Test func filesOfOneNameKeepTheirFolders() async throws {
        let directory = try folder("p/a/x.wav", "p/b/x.wav", "p/b/y.wav")
        let (p, out) = ("\(directory.path)/p", "\(directory.path)/out")
        let outcome = try await transcribe([
            "\(p)/a/x.wav", "\(p)/b/x.wav", "\(p)/b/y.wav", "\(p)/b/./x.wav", "-o", out,
        ])
        #expect(outcome.status == 0, "\(outcome.messages)")
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: out).sorted() == [
                "a", "a/x.txt", "b", "b/x.txt", "y.txt",
            ])
    }

    @Test func whatIsDoneIsLeftOut() async throws {
        let directory = try folder("in/a.wav", "in/b.wav")
        let (input, out) = ("\(directory.path)/in", "\(directory.path)/out")
        #expect(try await transcribe([input, "-o", "\(out)/"]).status == 0)
        try FileManager.default.removeItem(atPath: "\(out)/b.txt")
        try Data("kept".utf8).write(to: URL(filePath: "\(out)/a.txt"))
        let outcome = try await transcribe([input, "-o", out, "--resume"])
        #expect(outcome.status == 0 && outcome.messages.contains("1 of 2 recordings are done already\n"))
        #expect(try String(contentsOfFile: "\(out)/a.txt", encoding: .utf8) == "kept")
        #expect(FileManager.default.fileExists(atPath: "\(out)/b.txt"))
        let again = try await transcribe([input, "-o", out, "--resume"])
        #expect(again.status == 0 && again.messages == "gemma4: 2 of 2 recordings are done already\n")
    }

    @Test func theEndingOfTheOutputIsItsFormat() async throws {
        let directory = try folder("a.wav")
        let path = "\(directory.path)/a.srt"
        #expect(try await transcribe(["\(directory.path)/a.wav", "-o", path]).status == 0)
        #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("1\n00:00:0"))
    }

    /// Checked before transcription; older results stay.
    @Test func outputsThatCannotBeWrittenAreFoundFirst() async throws {
        let directory = try folder("a.wav", "b.wav")
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/out/b.txt", withIntermediateDirectories: true)
        let old = "\(directory.path)/out/a.txt"
        try Data("old".utf8).write(to: URL(filePath: old))
        let outcome = try await transcribe(
            ["\(directory.path)/a.wav", "\(directory.path)/b.wav", "-o", "\(directory.path)/out"])
        #expect(outcome.status == 73 && outcome.messages.contains("out/b.txt: cannot be created"))
        #expect(!outcome.messages.contains("heard"))
        #expect(try String(contentsOfFile: old, encoding: .utf8) == "old")
    }

    /// The options d, a, s and h, among them the help.
    @Test func aNameThatBeginsWithADashIsNoOption() async throws {
        let directory = try folder("-dash.wav")
        var program = Program("transcribe", "--model", checkpoint, "-dash.wav")
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 64 && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains("a file whose name begins with a dash is given as ./-dash.wav"))
    }

    // MARK: Stopping

    /// A pipe without a writer: nothing is transcribed, and older results stay.
    @Test(.timeLimit(.minutes(1)), arguments: [SIGINT, SIGHUP])
    func whatIsStoppedBeforeItsFirstWordsReplacesNothing(signal: Int32) async throws {
        let directory = try TemporaryDirectory()
        let old = try directory.write(Array("old".utf8), to: "old.txt")
        let process = Program("transcribe", "--model", checkpoint, "-", "-o", old).process()
        let input = Pipe()
        process.standardInput = input
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        try await Task.sleep(for: .seconds(1.5))
        kill(process.processIdentifier, signal)
        for await _ in ended {}
        #expect(process.terminationReason == .exit && process.terminationStatus == 75)
        #expect(try String(contentsOfFile: old, encoding: .utf8) == "old")
        withExtendedLifetime(input) {}
    }

    /// A pipe without a writer, as standard input and as a file.
    @Test(.timeLimit(.minutes(1)), arguments: [true, false])
    func whatWaitsForARecordingCanBeStopped(isFile: Bool) async throws {
        let directory = try TemporaryDirectory()
        let fifo = "\(directory.path)/fifo"
        mkfifo(fifo, 0o600)
        let process = Program("transcribe", "--model", checkpoint, isFile ? fifo : "-").process()
        // Opening it for both does not wait.
        let input = FileHandle(fileDescriptor: open(fifo, O_RDWR), closeOnDealloc: true)
        process.standardInput = isFile ? FileHandle.nullDevice : input
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        try await Task.sleep(for: .seconds(1.5))
        #expect(process.isRunning)
        let begin = ContinuousClock.now
        kill(process.processIdentifier, SIGTERM)
        for await _ in ended {}
        #expect(process.terminationReason == .exit && process.terminationStatus == 75)
        // It asks five times a second; here it matters that it ends at all.
        #expect(ContinuousClock.now - begin < .seconds(60))
        withExtendedLifetime(input) {}
    }

    /// The pipe stays open: the first words appear while the speaker continues, and Ctrl-C ends with them.
    @Test(.timeLimit(.minutes(1)), arguments: [SIGINT, SIGTERM])
    func whatIsStoppedEndsWithWhatThereIs(signal: Int32) async throws {
        let directory = try TemporaryDirectory()
        let process = Program(
            "transcribe", "--model", checkpoint, "--max-tokens", "16", "--stdin-format", "s16le", "--format", "vtt"
        ).process()
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: URL(filePath: directory.write([], to: "messages")))
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Sounds.pcm(recording))
        var text = ""
        while !text.contains("-->"), process.isRunning {
            text += String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        }
        #expect(process.isRunning)
        kill(process.processIdentifier, signal)
        for await _ in ended {}
        #expect(process.terminationReason == .exit && process.terminationStatus == 75)
        text += String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.hasPrefix("WEBVTT\n\n") && text.hasSuffix("\n\n"))
        let messages = try String(contentsOfFile: "\(directory.path)/messages", encoding: .utf8)
        #expect(messages.contains("standard input: heard "))
        #expect(messages.contains("lost 0.0 s") && messages.contains("; to go on: --offset "))
    }

    /// The pipe stays open; only the time limit ends the run. With `--resume` a partial result is not written.
    @Test(.timeLimit(.minutes(1)), arguments: [false, true]) func timeEndsItToo(resumes: Bool) async throws {
        let directory = try TemporaryDirectory()
        let process = Program(
            "transcribe", "--model", checkpoint, "--stdin-format", "s16le", "--max-seconds", "0.5", "-o",
            "\(directory.path)/out.srt", resumes ? "--resume" : "--no-vad"
        ).process()
        let input = Pipe()
        process.standardInput = input
        process.standardError = FileHandle.nullDevice
        try input.fileHandleForWriting.write(contentsOf: Sounds.pcm(Array(recording.prefix(20_000))))
        try await process.runToEnd()
        #expect(process.terminationStatus == 75)
        #expect(FileManager.default.fileExists(atPath: "\(directory.path)/out.srt") == !resumes)
        withExtendedLifetime(input) {}
    }

    // MARK: Mistakes

    @Test(arguments: [
        Mistake(
            "transcribe", "--stdin-format", "s16le", "a.wav", status: 64,
            message: "--stdin-format reads standard input: leave out the files"),
        Mistake("transcribe", "a.wav", "--sample-rate", "8000", status: 64, message: "--sample-rate is of raw samples"),
        Mistake(
            "transcribe", "a.wav", "--language", "klingon", status: 64,
            message: "--language: expected auto or a code such as en, de or pt-BR, found klingon"),
        Mistake(
            "transcribe", "a.wav", "--offset", "1:75", status: 64, message: "'1:75' is invalid for '--offset <time>'"),
        Mistake(
            "transcribe", "a.wav", "--max-segment", "31", status: 64,
            message: "--max-segment: expected 2 to 28, found 31.0"),
        Mistake(
            "transcribe", "a.wav", "--track", "0", status: 64, message: "'0' is invalid for '--track <n|code>'"),
        Mistake(
            "transcribe", "a.wav", "--max-line-width", "5", status: 64,
            message: "--max-line-width: expected 10 to 1000, found 5"),
        Mistake(
            "transcribe", "a.wav", "--max-lines", "0", status: 64, message: "--max-lines: expected 1 to 10, found 0"),
        Mistake(
            "transcribe", "--model", checkpoint, "attachments/tone.wav", "--track", "2", status: 65,
            message: "tone.wav: expected sound track 2, found tracks 1; choose one of them with --track"),
        Mistake(
            "transcribe", "a.wav", "--format", "srt", "--format", "vtt", status: 64, message: "several formats need -o"),
        Mistake(
            "transcribe", "a.wav", "b.wav", "--format", "srt", status: 64,
            message: "--format srt of several files needs -o with a folder"),
        Mistake(
            "transcribe", "a.wav", "b.wav", "-o", "both.srt", status: 64,
            message: "-o both.srt: the results of 2 recordings need a folder, such as both/"),
        Mistake(
            "transcribe", "a.wav", "-o", "", status: 64, message: "-o: expected a file or a folder, found an empty"),
        Mistake(
            "transcribe", "attachments/tone.wav", "-o", "/proc/none/x.txt", status: 73,
            message: "/proc/none: cannot be created"),
        Mistake(
            "transcribe", "a.wav", "--resume", status: 64, message: "--resume needs -o: there it sees what is done"),
        Mistake(
            "transcribe", "a.wav", "--format", "srt", "--then", "Why?", status: 64,
            message: "--then: its answer goes into txt or json"),
        Mistake(
            "transcribe", "26B-A4B/messages", status: 66,
            message: "26B-A4B/messages: expected a folder with files to read, found none that ends in .3g2"),
        Mistake("translate", "a.wav", status: 64, message: "Missing expected argument '--to <code>'"),
        Mistake("translate", "--to", "xx", "a.wav", status: 64, message: "'xx' is invalid for '--to <code>'"),
        Mistake("translate", "--to", "de", "a.wav", "--text", "a", status: 64, message: "give either files or --text"),
        Mistake(
            "transcribe", "--model", checkpoint, "--stdin-format", "s16le", status: 65,
            message: "standard input: expected sound, found no sample"),
        Mistake(
            "transcribe", "--model", checkpoint, "attachments/tone.wav", "--offset", "1:00:00", status: 65,
            message: "tone.wav: expected sound after 3600.0 s, found a recording of"),
    ])
    func mistakesAreNamed(mistake: Mistake) async throws {
        var program = Program()
        program.arguments = mistake.arguments
        program.input = Data(mistake.input.utf8)
        let outcome = try await program.run()
        #expect(outcome.status == mistake.status && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains(mistake.message), "\(outcome.messages)")
    }
}

/// The examples in the help run unchanged, given their files.
@Test(arguments: ["transcribe", "translate", "caption", "generate"])
func examplesInTheHelpRun(command: String) async throws {
    let help = try await Program("help", command).run().text.replacing("\n", with: " ")
    let examples = help.matches(of: /Example: gemma4 (.+?)(?= +Example:| +USAGE:)/).map { String($0.1) }
    #expect(!examples.isEmpty)
    for example in examples {
        let directory = try folder("speech.wav")
        let link = "\(directory.path)/gemma-4-E2B-it"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: checkpoint)
        try FileManager.default.copyItem(
            at: Goldens.folder.appending(path: "attachments/noise.png"),
            to: URL(filePath: "\(directory.path)/photo.jpg")
        )
        var program = Program()
        program.arguments = words(example) + ["--max-tokens", "8"]
        program.environment = ["GEMMA4_MODEL": link]
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 0, "\(example): \(outcome.messages)")
    }
}

/// A command line as a shell splits it, with double quotes.
private func words(_ line: String) -> [String] {
    line.split(separator: "\"", omittingEmptySubsequences: false).enumerated().flatMap { index, part in
        index.isMultiple(of: 2) ? part.split(separator: " ").map(String.init) : [String(part)]
    }
}
