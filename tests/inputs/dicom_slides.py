"""Writes DICOM whole slides, as scanners do: one file per level, tiled in full."""

import numpy as np

TILE = 256


def write_dicom_slide(folder, levels, mpp, *, rle=False, name="level"):
    """Write the levels, (h, w, 3) bytes each and finest first, into a folder; return the files."""
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    uids, files = [generate_uid() for _ in range(3)], []
    for number, picture in enumerate(levels):
        spacing = mpp * levels[0].shape[1] / picture.shape[1] / 1000
        data = _header(picture, spacing, uids, derived=number > 0)
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.PixelData = _frames(picture)
        if rle:
            data.compress(RLELossless)
        files.append(folder / f"{name}{number}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def _frames(picture):
    rows, columns = (-(-side // TILE) * TILE for side in picture.shape[:2])
    whole = np.full((rows, columns, 3), 255, np.uint8)
    whole[: picture.shape[0], : picture.shape[1]] = picture
    tiles = whole.reshape(rows // TILE, TILE, columns // TILE, TILE, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles).tobytes()


def _header(picture, spacing, uids, *, derived):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

    height, width = picture.shape[:2]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uids
    data.PositionReferenceIndicator = "SLIDE_CORNER"
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "SM", "drawn", "drawn"
    data.DeviceSerialNumber, data.SoftwareVersions = "1", "1"
    data.PatientID = data.PatientName = data.PatientBirthDate = data.PatientSex = ""
    data.StudyDate, data.StudyTime, data.StudyID = "20200101", "000000", ""
    data.ContentDate, data.ContentTime, data.AcquisitionDateTime = "20200101", "000000", "20200101000000"
    data.AccessionNumber = data.ReferringPhysicianName = ""
    data.InstanceNumber, data.SeriesNumber = "1", "1"
    data.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "VOLUME", "RESAMPLED" if derived else "NONE"]
    data.ContainerIdentifier = "1"
    data.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    data.TotalPixelMatrixOriginSequence = [origin]
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows, data.TotalPixelMatrixFocalPlanes = width, height, 1
    data.NumberOfFrames = -(-width // TILE) * -(-height // TILE)
    data.Rows = data.Columns = TILE
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.BurnedInAnnotation, data.LossyImageCompression, data.VolumetricProperties = "NO", "00", "VOLUME"
    data.SpecimenLabelInImage, data.FocusMethod, data.ExtendedDepthOfField = "NO", "AUTO", "NO"
    data.ImagedVolumeWidth, data.ImagedVolumeHeight, data.ImagedVolumeDepth = width * spacing, height * spacing, 0.001
    data.DimensionOrganizationType, data.NumberOfOpticalPaths = "TILED_FULL", 1
    measures, frame_type, shared, path = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing, spacing], 0.001
    frame_type.FrameType = data.ImageType
    shared.PixelMeasuresSequence, shared.WholeSlideMicroscopyImageFrameTypeSequence = [measures], [frame_type]
    data.SharedFunctionalGroupsSequence = [shared]
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence, path.IlluminationColorCodeSequence = [_code("111744")], [_code("414298005")]
    data.OpticalPathSequence = [path]
    return data


def _code(value):
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", "as scanners say"
    return code
