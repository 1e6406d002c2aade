import ArgumentParser
import Gemma4Kit

struct Transcribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write down what is said in recordings of any length.",
        usage: "gemma4 transcribe [<options>] <file> ...",
        discussion: """
            Reads WAV, FLAC, OGG, MP3 and AIFF. With several files, each transcript begins with the name of its file.

            Example: gemma4 transcribe --model gemma-4-E2B-it speech.wav
            """)

    @Argument(help: ArgumentHelp("Recordings; - is standard input.", valueName: "file"))
    var files: [String]

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("What to tell the model instead of Google's words for it.", valueName: "text"))
    var instruction: String?

    @Option(help: ArgumentHelp("json: an object with ids, text and timings for each file.", valueName: "text|json"))
    var format = OutputFormat.text

    @OptionGroup var sampling: SamplingArguments

    func validate() throws { try FileAnswers.validate(files) }

    func run() async throws {
        let pipeline = try model.open()
        guard pipeline.model.configuration.audioConfig != nil else { throw ModelInputError(.noTower("audio")) }
        let printer = AnswerPrinter(format: format, warnsOfLength: sampling.maxTokens == nil)
        try await FileAnswers(files: files, printer: printer).print(pipeline) { file, progress in
            pipeline.transcribe(
                try AudioInput(argument: file), instruction: instruction ?? Gemma4Pipeline.transcriptionInstruction,
                options: sampling.options(over: .greedy, progress: progress))
        }
    }
}
