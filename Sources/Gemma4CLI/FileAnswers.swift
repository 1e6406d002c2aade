import ArgumentParser
import Gemma4Kit

/// Answers about each of several files in turn. One that fails is reported, and the others are answered all the same.
struct FileAnswers {
    let files: [String]
    let printer: AnswerPrinter

    /// - Parameter answer: begins the answer about one file.
    /// - Throws: `ExitCode` of the first failure, after the last file; `CommandError` at once if results cannot be
    ///   written.
    func print(
        _ pipeline: Gemma4Pipeline, _ answer: (_ file: String, _ progress: ProgressLine) throws -> TokenStream
    ) async throws {
        try await Self.each(files) { index, progress in
            let stream = try answer(files[index], progress)
            try await printer.print(
                stream, of: pipeline, about: files[index], isLabelled: files.count > 1, progress: progress)
        }
    }

    /// Does something with each of several files in turn. Throws as `print` does.
    static func each(_ files: [String], _ work: (_ index: Int, _ progress: ProgressLine) async throws -> Void)
        async throws
    {
        var failure: ExitStatus?
        for (index, file) in files.enumerated() {
            do {
                try await work(index, ProgressLine(file, index, of: files.count))
            } catch let error as CommandError where error.isAboutOutput {
                throw error
            } catch {
                guard let status = ExitStatus(error) else { throw error }
                let namesItsFile = error is MediaError || error is CommandError
                ByteSink.standardError.report(namesItsFile ? "\(error)" : "\(file): \(error)")
                failure = failure ?? status
            }
        }
        if let failure { throw ExitCode(failure.rawValue) }
    }

    /// Standard input can be read once.
    static func validate(_ files: [String]) throws {
        if files.count(where: { $0 == StandardInput.argument }) > 1 {
            throw ValidationError("standard input (-) can be read only once")
        }
    }
}
