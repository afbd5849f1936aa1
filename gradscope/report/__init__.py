"""Tables, sentences and pictures: functions of the frames that the files hold."""
