import Foundation
import TestSupport
import Testing

@testable import Media

private let hasFFmpeg =
    (try? ExternalProgram("ffmpeg", for: "")) != nil && (try? ExternalProgram("ffprobe", for: "")) != nil

private let (width, height) = (34, 20)

private func frame(_ t: Int) -> [UInt8] {
    (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 * 7 + t * 31 + $0 / 29 * t) }
}

/// A lossless film of these frames at 12.5 a second and a sound of 3 s, made by ffmpeg.
private func film(frames: Int, in directory: TemporaryDirectory) throws -> URL {
    try directory.write((0..<frames).flatMap(frame), to: "frames.rgb")
    try directory.write(Sounds.wave(Sounds.hum(seconds: 3, level: -20)), to: "sound.wav")
    let file = URL(filePath: "\(directory.path)/it's a film: 1.mkv")
    let run = try ExternalProgram("ffmpeg", for: "test").start(
        [
            "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "\(width)x\(height)", "-r", "12.5", "-i",
            "\(directory.path)/frames.rgb", "-i", "\(directory.path)/sound.wav", "-c:v", "ffv1", "-pix_fmt", "bgr0",
            "-c:a",
            "flac", ExternalProgram.argument(file),
        ], source: "test")
    _ = try run.read(upTo: 1)
    return file
}

@Suite struct VideoReaderTests {
    @Test(.enabled(if: hasFFmpeg), arguments: [1, 5, 32, 40, 75])
    func framesAreChosenAndExact(count: Int) throws {
        let directory = try TemporaryDirectory()
        let reader = try VideoReader(film(frames: count, in: directory))
        #expect(reader.frameCount == count && reader.framesPerSecond == 12.5)
        var frames: [VideoFrame] = []
        try reader.read(.count(32)) { frames.append($0) }
        let indices = VideoReader.indices(frames: count, count: 32)
        #expect(frames.map(\.seconds) == indices.map { Double($0) / 12.5 })
        #expect(frames.map(\.pixels.rgb) == indices.map(frame))
        #expect(frames.allSatisfy { $0.pixels.width == width && $0.pixels.height == height })
    }

    /// Typical phone videos: 10 bits, and HDR, which needs tone mapping to 8 bits.
    @Test(.enabled(if: hasFFmpeg)) func tenBitFilmsAreReadInEight() throws {
        let directory = try TemporaryDirectory()
        func frames(_ arguments: String...) throws -> [VideoFrame] {
            let file = URL(filePath: "\(directory.path)/film.mkv")
            let made = try ExternalProgram("ffmpeg", for: "test").start(
                ["-v", "error", "-y"] + arguments + ["-c:v", "ffv1", ExternalProgram.argument(file)], source: "test")
            _ = try made.readExactly(1)
            var frames: [VideoFrame] = []
            try VideoReader(file).read(.count(4)) { frames.append($0) }
            return frames
        }
        try directory.write((0..<5).flatMap(frame), to: "frames.rgb")
        let raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "\(width)x\(height)"]
        let ten = try frames(
            raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], "-i", "\(directory.path)/frames.rgb", "-pix_fmt", "gbrp10le"
        )
        let indices = VideoReader.indices(frames: 5, count: 4)
        for (film, index) in zip(ten, indices) {
            #expect(zip(film.pixels.rgb, frame(index)).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
        }
        let gray = ["-f", "lavfi", "-i", "color=c=gray:d=1:s=64x64:r=5,format=yuv420p10le"]
        let plain = try frames(gray[0], gray[1], gray[2], gray[3])
        let hdr = try frames(
            gray[0], gray[1], gray[2], gray[3], "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace",
            "bt2020nc")
        let (dark, light) = (plain[0].pixels.rgb[0], hdr[0].pixels.rgb[0])
        #expect(abs(Int(dark) - 128) <= 3 && abs(Int(light) - 156) <= 8, "\(dark) \(light)")
    }

    @Test(.enabled(if: hasFFmpeg)) func theSoundOfAFilmIsRead() throws {
        let directory = try TemporaryDirectory()
        let file = try film(frames: 5, in: directory)
        let sound = try SoundSources.open(file, channels: .mix)
        #expect(sound is FFmpegSound)
        var samples: [Float] = []
        while let block = try sound.readChannels() { samples += block[0] }
        var reader = try AudioReader(URL(filePath: "\(directory.path)/sound.wav"))
        #expect(samples == (try reader.readAll()))
    }

    @Test(.enabled(if: hasFFmpeg)) func whatIsNoFilmIsNamed() throws {
        let directory = try TemporaryDirectory()
        let junk = URL(filePath: try directory.write(Array("junk".utf8), to: "junk.mp4"))
        let sound = URL(filePath: try directory.write(Sounds.wave([0, 0, 0, 0]), to: "sound.wav"))
        #expect(throws: MediaError.self) { try VideoReader(junk) }
        let error = #expect(throws: MediaError.self) { try VideoReader(sound) }
        #expect(error?.code == .empty)
        let missing = #expect(throws: MediaError.self) { try VideoReader(URL(filePath: "none.mp4")) }
        #expect(missing?.code == .unreadable)
    }

    @Test func withoutFFmpegTheRemedyIsNamed() {
        let error = #expect(throws: MediaError.self) {
            try ExternalProgram("ffmpeg", for: "a.mp4", reads: "films", path: "/nowhere:")
        }
        #expect(error?.code == .missingProgram)
        #expect(error?.description.contains("install it with: apt-get install ffmpeg, or: brew install ffmpeg") == true)
    }

    @Test func indicesSpreadEvenly() {
        #expect(VideoReader.indices(frames: 0, count: 32).isEmpty)
        #expect(VideoReader.indices(frames: 3, count: 32) == [0, 1, 2])
        #expect(VideoReader.indices(frames: 10, count: 4) == [0, 2, 5, 7])
    }
}
