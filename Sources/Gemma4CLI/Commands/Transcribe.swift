import ArgumentParser
import Gemma4Kit

struct Transcribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write down what is said in recordings of any length.",
        usage: "gemma4 transcribe [<options>] <file> ...",
        discussion: """
            Reads WAV, FLAC, OGG, MP3 and AIFF, with ffmpeg M4A, WMA, films and more, and all of them in folders. \
            Silence is skipped. Where a file is damaged or cut, the rest is heard, and the code is 65. Ctrl-C ends with \
            what there is and code 75; --offset goes on from there.

            Example: gemma4 transcribe speech.wav --format srt -o speech.srt
            """)

    @Argument(help: ArgumentHelp("Recordings or folders; - is standard input.", valueName: "file"))
    var files: [String] = []

    @OptionGroup var model: ModelOptions
    @OptionGroup var results: TranscriptArguments
    @OptionGroup var speech: SpeechArguments
    @OptionGroup var parallel: ParallelOption

    @Option(help: ArgumentHelp("Tell the model this instead of Google's words.", valueName: "text"))
    var instruction: String?

    func validate() throws { try FileAnswers.validate(files) }

    func run() async throws {
        let all = try speech.inputs(files)
        try results.check(all)
        let inputs = results.remaining(all)
        guard !inputs.isEmpty else { return }
        let pipeline = try model.open(parallel: parallel.count)
        var options = speech.options()
        options.parallelPieces = parallel.count
        options.instruction = instruction
        try await Transcription(pipeline: pipeline, speech: speech, results: results, inputs: inputs, options: options)
            .run()
    }
}
