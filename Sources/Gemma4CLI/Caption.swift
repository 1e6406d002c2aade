import ArgumentParser
import Gemma4Kit

struct Caption: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Describe pictures.",
        usage: "gemma4 caption [<options>] <file> ...",
        discussion: """
            Reads PNG and JPEG. With several files, each description begins with the name of its file.

            Example: gemma4 caption --model gemma-4-E2B-it photo.jpg
            """)

    @Argument(help: ArgumentHelp("Pictures; - is standard input.", valueName: "file"))
    var files: [String]

    @OptionGroup var model: ModelOptions

    @OptionGroup var imageTokens: ImageTokensOption

    @Option(
        help: ArgumentHelp(
            "What to tell the model instead of \"\(Gemma4Pipeline.captionInstruction)\"", valueName: "text"))
    var instruction: String?

    @Option(help: ArgumentHelp("json: an object with ids, text and timings for each file.", valueName: "text|json"))
    var format = OutputFormat.text

    @OptionGroup var sampling: SamplingArguments

    func validate() throws { try FileAnswers.validate(files) }

    func run() async throws {
        let pipeline = try model.open()
        guard pipeline.model.configuration.visionConfig != nil else { throw ModelInputError(.noTower("image")) }
        let printer = AnswerPrinter(format: format, warnsOfLength: sampling.maxTokens == nil)
        try await FileAnswers(files: files, printer: printer).print(pipeline) { file, progress in
            pipeline.caption(
                try ImageInput(argument: file), instruction: instruction ?? Gemma4Pipeline.captionInstruction,
                imageTokens: imageTokens.count,
                options: sampling.options(over: .greedy, progress: progress))
        }
    }
}
