import ArgumentParser
import Foundation
import Gemma4Kit

struct Translate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Translate speech or text.",
        usage: "gemma4 translate --to <code> [<options>] (<file> ... | --text <text>)",
        discussion: """
            Recordings are read as by transcribe; --format json has both languages.

            Example: gemma4 translate --to de speech.wav
            Example: gemma4 translate --to fr --text "Good morning!"
            """)

    @Argument(help: ArgumentHelp("Recordings or folders; - is standard input.", valueName: "file"))
    var files: [String] = []

    @Option(help: ArgumentHelp("Language to translate into, say de or pt-BR.", valueName: "code"))
    var to: Language

    @Option(help: ArgumentHelp("Translate this text; - is standard input.", valueName: "text"))
    var text: String?

    @OptionGroup var corpus: CorpusArguments
    @OptionGroup var model: ModelOptions
    @OptionGroup var results: TranscriptArguments
    @OptionGroup var speech: SpeechArguments
    @OptionGroup var parallel: ParallelOption

    func validate() throws {
        try FileAnswers.validate(files)
        guard text == nil || files.isEmpty && speech.stdinFormat == nil && !corpus.isGiven else {
            throw ValidationError("give either files or --text")
        }
        if text != nil, results.format.contains(where: { $0 != .txt }) || results.output != nil || results.then != nil {
            throw ValidationError("--text: its translation goes to standard output, as text")
        }
    }

    func run() async throws {
        if let text { return try await translate(text == StandardInput.argument ? StandardInput.readText() : text) }
        try await Transcription.run(files, corpus, model, speech, results, parallel: parallel.count) {
            $0.translation = to
        }
    }

    private func translate(_ text: String) async throws {
        let pipeline = try model.open()
        let progress = ProgressLine("text")
        var generation = speech.answer.options(loopGuard: .init())
        generation.onPrefill = { progress.show(read: $0, of: $1) }
        let stream = pipeline.translate(text, from: Language(code: speech.language), to: to, options: generation)
        try await AnswerPrinter(format: .text, warnsOfLength: speech.answer.maxTokens == nil)
            .print(stream, of: pipeline, progress: progress)
    }
}

extension Language: ExpressibleByArgument {
    /// A language from its code, such as `de`.
    public init?(argument: String) { self.init(code: argument) }
}
