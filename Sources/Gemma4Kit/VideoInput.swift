import Foundation
import Gemma4
import Generation
import Media
import Tensors

/// A video, provided by the caller.
public enum VideoInput: Sendable {
    /// A video file, which an `ffmpeg` on the PATH decodes, or a folder of numbered images at 24 frames per second.
    case file(URL)
    /// All frames in order.
    case pictures([ImageInput], framesPerSecond: Double)

    private static let pictureExtensions: Set<String> = [
        "png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "heic", "avif",
    ]

    /// Calls `use` with the frames that the published processor samples, one by one.
    ///
    /// - Throws: `MediaError`; errors of `use`.
    func read(_ choice: VideoReader.Choice, _ use: (VideoFrame) throws -> Void) throws {
        switch self {
        case .pictures(let pictures, let rate):
            for index in VideoReader.indices(frames: pictures.count, framesPerSecond: rate, choice) {
                try use(VideoFrame(pixels: try pictures[index].pixels(), seconds: Double(index) / rate))
            }
        case .file(let url):
            if let pictures = try Self.pictures(in: url) {
                return try VideoInput.pictures(pictures, framesPerSecond: VideoReader.unknownRate).read(choice, use)
            }
            try VideoReader(url).read(choice, use)
        }
    }

    /// The first 30 s of the sound track, the maximum that a model accepts at once.
    ///
    /// - Throws: `MediaError`, also if there is no sound track.
    public func soundTrack() throws -> AudioInput {
        guard case .file(let url) = self else {
            throw MediaError(
                code: .unsupported, source: "film", expected: "a film with sound", found: "pictures",
                remedy: "hand over the recording by itself")
        }
        let sound = try SoundSources.open(url, channels: .mix)
        var samples: [Float] = []
        while samples.count < AudioSplitter.modelLimit, let block = try sound.readChannels() { samples += block[0] }
        return .samples(Array(samples.prefix(AudioSplitter.modelLimit)), sampleRate: AudioReader.sampleRate)
    }

    /// The images of a folder in numerical order; nil if the path is not a folder.
    private static func pictures(in folder: URL) throws -> [ImageInput]? {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue else {
            return nil
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { pictureExtensions.contains(URL(filePath: $0).pathExtension.lowercased()) }
            .sorted { $0.compare($1, options: [.numeric, .caseInsensitive]) == .orderedAscending }
        guard !names.isEmpty else {
            throw MediaError(
                code: .empty, source: folder.path, expected: "numbered pictures, PNG or JPEG", found: "none",
                remedy: "write them with: ffmpeg -i FILM \(folder.path)/%05d.png")
        }
        return names.map { .file(folder.appending(path: $0)) }
    }
}

extension Gemma4Pipeline {
    /// The soft tokens and the time of each sampled frame of a video.
    ///
    /// - Returns: `[tokens, hiddenSize]` and seconds for each frame.
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`.
    package func softTokens(_ video: VideoInput) async throws -> [(tokens: Tensor, seconds: Double)] {
        let frames = try await preparation.run { try self.frames(video) }
        return zip(try await encoded(frames.map(\.input)), frames).map { ($0, $1.seconds) }
    }

    /// The encoder input and the time of each sampled frame of a video.
    ///
    /// Frames are encoded separately, with the budget of the processor's configuration.
    ///
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`.
    func frames(_ video: VideoInput) throws -> [(input: EncoderInput, seconds: Double)] {
        guard model.configuration.takesImages else { throw ModelInputError(.noTower("image")) }
        guard model.configuration.videoTokenId != nil else { throw PromptError(.missingToken("<|video|>")) }
        var frames: [(EncoderInput, Double)] = []
        let processor = processorConfiguration
        let choice: VideoReader.Choice =
            model.configuration.isEncoder
            ? .rate(processor.videoFps, limit: processor.videoMaxFrames) : .count(processor.videoNumFrames)
        try video.read(choice) { frame in
            frames.append(
                (try encoderInput(frame.pixels, maxTokens: processor.videoMaxSoftTokens), frame.seconds))
        }
        return frames
    }
}
