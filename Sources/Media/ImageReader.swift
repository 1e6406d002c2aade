import CImageDecoding
import Foundation

/// Decodes PNG, JPEG and WebP as Pillow's `exif_transpose` and `convert("RGB")` do, byte for byte, with these
/// differences: transparency is composited over white (the reference's image processor does so; its file loader drops
/// alpha), and 16-bit gray keeps the high byte, as all other 16-bit kinds do (Pillow clips it at 255, which makes
/// nearly everything white). A transparent color (tRNS of gray and RGB) is compared at the file's own bit depth, as the
/// PNG specification says; Pillow compares after reduction to 8 bits.
///
/// GIF, BMP, TIFF, HEIC and AVIF are decoded by programs on the PATH (`PictureConverter`). If a file holds several
/// images, the first is used.
///
/// Source: Pillow 13.0, `PngImagePlugin.py`, `JpegImagePlugin.py`, `WebPImagePlugin.py`; transformers,
/// `image_transforms.convert_to_rgb`.
package struct ImageReader: Sendable {
    /// Larger images are refused before memory is allocated. The default is Pillow's limit too: half a gigabyte.
    package static let defaultMaxPixels = 178_956_970

    /// libpng's own limit; it also bounds images of a single row, whose cost per row would exceed that of their pixels.
    package static let maxSide = 1_000_000

    package let maxPixels: Int

    package init(maxPixels: Int = ImageReader.defaultMaxPixels) {
        self.maxPixels = maxPixels
    }

    package func read(_ file: URL) throws(MediaError) -> Pixels {
        try read(SourceBytes(contentsOf: file))
    }

    /// - Parameter name: the name of these bytes in errors.
    package func read(_ bytes: Data, name: String = "image") throws(MediaError) -> Pixels {
        try read(SourceBytes(bytes, name: name))
    }

    private func read(_ source: SourceBytes) throws(MediaError) -> Pixels {
        let format = MediaFormat(source.bytes)
        var decoder: Decoder
        if case .converted(let format) = format {
            let converter = PictureConverter(source: source, format: format)
            try check(try converter.size(), source)
            decoder = Decoder(.png, SourceBytes(try converter.png(), name: source.name))
        } else {
            decoder = Decoder(try Decoder.Library(format, source), source)
        }
        let (width, height) = try decoder.size()
        try check((width, height), source)
        let rgb = try decoder.rgb(width: width, height: height)
        let stored = try Pixels(width: width, height: height, rgb: rgb, name: source.name)
        return try Orientation(of: source.bytes, format).applied(to: stored)
    }

    private func check(_ size: (width: Int, height: Int), _ source: SourceBytes) throws(MediaError) {
        guard max(size.width, size.height) <= Self.maxSide, size.width * size.height <= maxPixels else {
            throw source.error(
                .tooLarge, expected: "at most \(maxPixels) pixels, \(Self.maxSide) to a side",
                found: "\(size.width)×\(size.height)",
                remedy: "scale the picture down")
        }
    }
}

/// One of the C decoders, with its source.
private struct Decoder {
    enum Library: String {
        case png = "PNG"
        case jpeg = "JPEG"
        case webp = "WebP"

        /// - Throws: `MediaError` if no library here decodes the format.
        init(_ format: MediaFormat, _ source: SourceBytes) throws(MediaError) {
            switch format {
            case .png: self = .png
            case .jpeg: self = .jpeg
            case .webp: self = .webp
            case .other(let found):
                throw source.error(
                    .unsupported, expected: "a picture", found: found, remedy: "convert it to PNG or JPEG")
            case .converted, .unknown:
                let expected = "a picture (PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF)"
                throw source.error(
                    source.bytes.isEmpty ? .empty : .unsupported, expected: expected,
                    found: source.bytes.isEmpty ? "no bytes" : "none (a picture is known by its first bytes)",
                    remedy: "give a picture, or convert it to PNG or JPEG")
            }
        }
    }

    let library: Library
    let source: SourceBytes

    init(_ library: Library, _ source: SourceBytes) { (self.library, self.source) = (library, source) }

    func size() throws(MediaError) -> (width: Int, height: Int) {
        let readSize =
            switch library {
            case .png: png_read_size
            case .jpeg: jpeg_read_size
            case .webp: webp_read_size
            }
        var (width, height): (UInt32, UInt32) = (0, 0)
        try check { readSize($0.baseAddress, $0.count, &width, &height, $1) }
        return (Int(width), Int(height))
    }

    /// - Parameters: the values that `size` returned.
    func rgb(width: Int, height: Int) throws(MediaError) -> [UInt8] {
        let readRGB =
            switch library {
            case .png: png_read_rgb
            case .jpeg: jpeg_read_rgb
            case .webp: webp_read_rgb
            }
        var failure: MediaError?
        let rgb = [UInt8](unsafeUninitializedCapacity: width * height * 3) { rgb, count in
            do throws(MediaError) {
                try check { readRGB($0.baseAddress, $0.count, UInt32(width), UInt32(height), rgb.baseAddress, $1) }
                count = width * height * 3
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return rgb
    }

    private func check(
        _ call: (UnsafeBufferPointer<UInt8>, UnsafeMutablePointer<CChar>?) -> image_status
    ) throws(MediaError) {
        var message = [CChar](repeating: 0, count: Int(image_message_size))
        let status = source.bytes.withUnsafeBytes { bytes in call(bytes.bindMemory(to: UInt8.self), &message) }
        let code: MediaError.Code? =
            switch status {
            case image_ok: nil
            case image_truncated: .truncated
            case image_unsupported: .unsupported
            case image_out_of_memory: .outOfMemory
            default: .malformed
            }
        guard let code else { return }
        let reason = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        throw source.error(
            code,
            expected: code == .unsupported
                ? "a kind of \(library.rawValue) that is supported" : "a whole \(library.rawValue) file",
            found: reason,
            remedy: code == .unsupported ? "convert it to PNG" : "export or download the picture again")
    }
}
