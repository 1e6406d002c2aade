import ArgumentParser
import Foundation
import Gemma4Kit
import Media

/// How a recording is transcribed: shared by `transcribe` and `translate`.
struct SpeechArguments: ParsableArguments {
    @Option(help: ArgumentHelp("What is spoken, say de or pt-BR.", valueName: "auto|code"))
    var language = "auto"

    @Option(help: ArgumentHelp("Names and words that may occur, as spelt.", valueName: "text"))
    var hint: String?

    @Option(help: ArgumentHelp("Begin there: seconds, or h:mm:ss.", valueName: "time"))
    var offset: TimeArgument?

    @Option(help: ArgumentHelp("Hear no more than this.", valueName: "time"))
    var duration: TimeArgument?

    @Option(help: ArgumentHelp("Or split them.", valueName: "mix|split"))
    var channels = AudioChannels.mix

    @Option(help: ArgumentHelp("Of several sound tracks: its number or language.", valueName: "n|code"))
    var track: TrackArgument?

    @Flag(help: "Hear silence and noise too.")
    var noVad = false

    @Option(help: ArgumentHelp("Longest segment in seconds, 2 to 28.", valueName: "s"))
    var maxSegment: Double?

    @Option(help: ArgumentHelp("Raw mono samples from standard input.", valueName: "format"))
    var stdinFormat: PCMStream.Format?

    @Option(help: ArgumentHelp("Their rate in hertz; default: 16000.", valueName: "n"))
    var sampleRate: Int?

    @Option(help: ArgumentHelp("Stop by then, as Ctrl-C does.", valueName: "s"))
    var maxSeconds: Double?

    @OptionGroup var answer: AnswerArguments

    func validate() throws {
        guard language == "auto" || Language(code: language) != nil else {
            throw ValidationError("--language: expected auto or a code such as en, de or pt-BR, found \(language)")
        }
        if let maxSegment, !(2...28).contains(maxSegment) {
            throw ValidationError("--max-segment: expected 2 to 28, found \(maxSegment)")
        }
        if stdinFormat == nil, sampleRate != nil {
            throw ValidationError("--sample-rate is of raw samples: give --stdin-format too")
        }
        if let sampleRate, !(1_000...768_000).contains(sampleRate) {
            throw ValidationError("--sample-rate: expected 1000 to 768000, found \(sampleRate)")
        }
        if let maxSeconds, !(maxSeconds > 0 && maxSeconds < 1e9) {
            throw ValidationError("--max-seconds: expected more than 0, found \(maxSeconds)")
        }
        if duration?.seconds == 0 { throw ValidationError("--duration: expected more than 0") }
    }

    /// Set by Ctrl-C, or at the end of the time limit.
    func interruption() -> Interruption {
        let interruption = Interruption()
        if let maxSeconds { interruption.set(after: maxSeconds) }
        return interruption
    }

    /// The transcription options; the commands add their own.
    func options() -> TranscriptionOptions {
        TranscriptionOptions(
            language: Language(code: language), hint: hint, channels: channels, track: track?.track,
            detectsSpeech: !noVad, offsetInSeconds: offset?.seconds ?? 0, durationInSeconds: duration?.seconds,
            maxSegmentInSeconds: maxSegment,
            generation: answer.options(loopGuard: .transcript))
    }

    /// The recordings named by arguments.
    ///
    /// - Throws: `ValidationError` if they are none.
    func inputs(_ paths: [String]) throws -> [InputFile] {
        guard stdinFormat == nil else {
            guard paths.isEmpty || paths == [StandardInput.argument] else {
                throw ValidationError("--stdin-format reads standard input: leave out the files")
            }
            return [InputFile(path: StandardInput.argument)]
        }
        guard !paths.isEmpty else { throw ValidationError("Missing expected argument '<file> ...'") }
        return try InputFile.expand(paths, InputFile.recordings)
    }

    func audio(_ path: String) throws -> AudioInput {
        if let stdinFormat { return .pcm(try PCMStream(format: stdinFormat, sampleRate: sampleRate ?? 16_000)) }
        // Standard input is passed as a descriptor, so that reading can be interrupted.
        return path == StandardInput.argument
            ? .descriptor(STDIN_FILENO, name: StandardInput.name) : .file(URL(filePath: path))
    }
}

/// A track number, from 1, or a language.
struct TrackArgument: ExpressibleByArgument {
    let track: SoundTrack

    init?(argument: String) {
        if let number = Int(argument) {
            guard number > 0 else { return nil }
            track = .number(number)
        } else if let language = Language(code: argument) {
            track = .language(language.trackCodes)
        } else {
            return nil
        }
    }
}

extension AudioChannels: ExpressibleByArgument {}
extension PCMStream.Format: ExpressibleByArgument {}

/// Seconds, or `[h:]mm:ss`.
struct TimeArgument: ExpressibleByArgument {
    let seconds: Double

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) }
        guard (1...3).contains(parts.count) else { return nil }
        var seconds = 0.0
        for (index, part) in parts.enumerated() {
            guard let part, part >= 0, part.isFinite, index == 0 || part < 60 else { return nil }
            seconds = seconds * 60 + part
        }
        guard seconds < 1e7 else { return nil }
        self.seconds = seconds
    }
}
