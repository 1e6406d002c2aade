import ArgumentParser
import Foundation
import Gemma4
import Gemma4Kit
import Generation
import Synchronization
import Tokenization

/// Transcribes or translates recordings and writes the results.
struct Transcription {
    let pipeline: Gemma4Pipeline
    let speech: SpeechArguments
    let results: TranscriptArguments
    let corpus: CorpusArguments
    let inputs: [InputFile]
    /// Number of inputs skipped because their results exist.
    let skipped: Int
    let options: TranscriptionOptions
    let interruption: Interruption

    /// Checks the arguments, loads the model and processes the remaining inputs.
    ///
    /// - Parameter adjust: sets the options of a single command.
    /// - Throws: as `run()`; `ValidationError`; errors of loading the model.
    static func run(
        _ files: [String], _ corpus: CorpusArguments, _ model: ModelOptions, _ speech: SpeechArguments,
        _ results: TranscriptArguments, parallel: Int, adjust: (inout TranscriptionOptions) -> Void
    ) async throws {
        var results = results
        if corpus.isGiven { try results.writeToFolder() }
        if corpus.manifest != nil, speech.stdinFormat != nil {
            throw ValidationError("--stdin-format reads standard input: leave out --manifest")
        }
        let all = try corpus.inputs(files, expand: speech.inputs)
        try results.check(all)
        let inputs = results.remaining(all)
        guard !inputs.isEmpty else {
            return try corpus.write(CorpusCounts(inputs: all.count, skipped: all.count, failed: 0, stopped: 0))
        }
        let pipeline = try model.open(parallel: parallel)
        var options = speech.options()
        options.parallelPieces = parallel
        adjust(&options)
        try await Self(
            pipeline: pipeline, speech: speech, results: results, corpus: corpus, inputs: inputs,
            skipped: all.count - inputs.count, options: options, interruption: speech.interruption()
        ).run()
    }

    /// - Throws: `ExitCode` 75 if it was stopped, else that of the first failure; `CommandError` if results cannot be
    ///   written.
    func run() async throws {
        guard pipeline.model.configuration.takesSound else { throw ModelInputError(.noTower("audio")) }
        let stopped = Mutex(0)
        let (failed, status) = try await FileAnswers.each(
            inputs.map(\.name), parallel: options.parallelPieces, sharesOutput: results.toStandardOutput
        ) { index, progress, turn in
            let errors = ByteSink.standardError.inTurn(turn)
            guard !interruption.isSet else {
                stopped.withLock { $0 += 1 }
                // A corpus may have a million files.
                if !corpus.isGiven { errors.report("\(inputs[index].name.displayed): not begun") }
                return
            }
            if try await transcribe(inputs[index], progress, .standardOutput.inTurn(turn), errors) {
                stopped.withLock { $0 += 1 }
            }
        }
        let counts = CorpusCounts(
            inputs: inputs.count + skipped, skipped: skipped, failed: failed, stopped: stopped.withLock { $0 })
        try corpus.write(counts)
        if counts.stopped > 0 { throw ExitCode(ExitStatus.stopped.rawValue) }
        if let status { throw ExitCode(status.rawValue) }
    }

    /// Writes the transcript so far even if the recording is found to be damaged.
    ///
    /// - Returns: whether it was stopped.
    private func transcribe(
        _ input: InputFile, _ progress: ProgressLine, _ output: ByteSink, _ errors: ByteSink
    ) async throws -> Bool {
        defer { progress.end() }
        progress.begin()
        let printer = results.path(input, .txt, isAlone: inputs.count == 1) == nil ? results.formats[0] : nil
        var transcript = Transcript()
        do {
            try await listen(input, printer, progress, output, errors, &transcript)
        } catch {
            progress.end()
            if !(error is CancellationError), transcript.report.read > 0 || !transcript.segments.isEmpty {
                try write(transcript, input, nil, output)
                report(transcript.report, input.name.displayed, errors)
            }
            throw error
        }
        progress.end()
        let answer = try await ask(about: transcript, input, printer, output, errors)
        // A run stopped before the first words does not replace an older result. With `--resume`, a partial result is
        // not written, and the recording is transcribed again by the next run.
        let path = results.path(input, results.formats[0], isAlone: inputs.count == 1)
        let isKept = path.map { FileManager.default.fileExists(atPath: $0) } ?? false
        if transcript.report.stoppedAt == nil || !results.resume && (!transcript.segments.isEmpty || !isKept) {
            try write(transcript, input, answer, output)
        }
        report(transcript.report, input.name.displayed, errors)
        // If the stop came after the end of the recording, only the answer to `--then` is missing.
        return transcript.report.stoppedAt != nil || interruption.isSet && results.then != nil
    }

    private func listen(
        _ input: InputFile, _ printer: TranscriptFormat?, _ progress: ProgressLine, _ output: ByteSink,
        _ errors: ByteSink, _ transcript: inout Transcript
    ) async throws {
        let label = inputs.count > 1 ? "\(input.name.displayed): " : ""
        var writer = TranscriptWriter(printer ?? .txt, results.layout)
        if let printer, printer.isStreamable { try output.write(writer.begin) }
        try await input.withOpenablePath { path in
            let events = pipeline.transcribe(try speech.audio(path), options: options)
            try await interruption.cancelling(events.cancel) {
                for try await event in events {
                    transcript.append(event)
                    switch event {
                    case .progress(let second, let length): progress.show(second: second, of: length)
                    case .notice(let notice):
                        progress.erase()
                        errors.report("\(notice.isWarning ? "warning: " : "")\(input.name.displayed): \(notice.text)")
                    case .segment(let segment):
                        guard let printer, printer.isStreamable else { continue }
                        let text = writer.write(segment)
                        progress.erase()
                        if !text.isEmpty { try output.write(printer == .txt ? label + text : text) }
                    case .end: break
                    }
                }
            }
        }
        // A cancelled stream ends without an error, and its output is incomplete.
        try Task.checkCancellation()
    }

    /// Answers `--then`, on standard output if a text is written there.
    private func ask(
        about transcript: Transcript, _ input: InputFile, _ printer: TranscriptFormat?, _ output: ByteSink,
        _ errors: ByteSink
    ) async throws -> String? {
        guard let prompt = results.then, !interruption.isSet else { return nil }
        guard !transcript.text.isEmpty else {
            errors.report("\(input.name.displayed): nothing was said, so there is nothing to ask about")
            return nil
        }
        if printer == .txt { try output.write("\n") }
        var answer = Answer()
        let message = ChatMessage(.user, "\(prompt)\n\n\(transcript.text)")
        for try await token in pipeline.generate([message], options: speech.answer.options(loopGuard: .init())) {
            if interruption.isSet { break }
            answer.append(token)
            if printer == .txt, token.kind == .answer { try output.write(token.text) }
        }
        if printer == .txt { try output.write("\n") }
        return answer.text
    }

    private func write(_ transcript: Transcript, _ input: InputFile, _ answer: String?, _ output: ByteSink) throws {
        var context = TranscriptContext(options, file: inputs.count > 1 ? input.name : nil)
        context.layout = results.layout
        if let prompt = results.then, let answer { context.question = (prompt, answer) }
        for format in results.formats {
            var text = TranscriptWriter.whole(transcript, format, context)
            if format == .txt, let answer { text += "\n\(answer)\n" }
            if let path = results.path(input, format, isAlone: inputs.count == 1) {
                do {
                    try OutputFile(path).replaceInFolders(with: Array(text.utf8))
                } catch {
                    // Transcription may have taken hours: write the result before throwing.
                    try output.write(text)
                    throw error
                }
            } else if !format.isStreamable {
                try output.write(text)
            }
        }
    }

    // MARK: Summary in seconds

    private func report(_ report: TranscriptReport, _ file: String, _ errors: ByteSink) {
        func seconds(_ value: Double) -> String { String(format: "%.1f s", value) }
        var parts = [
            "heard \(seconds(report.heard))", "skipped \(seconds(report.skipped))", "lost \(seconds(report.lost))",
        ]
        if report.channels > 1 { parts.append("in \(report.channels) channels") }
        errors.report("\(file): \(parts.joined(separator: ", "))")
        for channel in report.silentChannels {
            errors.report("\(file): channel \(channel + 1) has no speech and was skipped")
        }
        if report.repeatingSegments > 0 {
            errors.report(
                "warning: \(file): \(Self.count(report.repeatingSegments)) repeated itself and was cut to one round; --no-loop-guard shows all"
            )
        }
        if report.cutSegments > 0 {
            errors.report(
                "warning: \(file): \(Self.count(report.cutSegments)) was cut off; --max-tokens makes room")
        }
        if report.unansweredSegments > 0 {
            errors.report(
                "warning: \(file): in \(Self.count(report.unansweredSegments)) speech was heard, but the model wrote nothing"
            )
        }
        if let stoppedAt = report.stoppedAt {
            errors.report(
                "\(file): stopped at \(seconds(stoppedAt)); to go on: "
                    + (results.resume ? "the same command" : "--offset \(String(format: "%.2f", stoppedAt))"))
        }
    }

    private static func count(_ segments: Int) -> String {
        segments == 1 ? "a segment" : "each of \(segments) segments"
    }
}
